"""What does each strategy find in about the same time? On real data, under one budget on each local runtime.

    python -m tests.benchmarks.strategies --folder runs/strategies [--images 12000]

Each search, and the training of what it found, is a run of `millis`; they share one table for each space and target.
All networks are measured at the end, interleaved. Every part stays in the folder: a second call goes on where the first
one stopped. `--until search --only mbconv-28-darts` does a part, so that several searches may run side by side; but
tables, the derived networks and the end are measured, and need a machine on which nothing else computes.

Searches are short, minutes, on a fifth of the training images: alpha learns faster than the papers let it. Passes are
what a search costs, in those of one network over the weight split; seconds are on whatever else the machine did.
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploy.manifest import Accuracy
from latency_tables.table import Latency
from pipeline.architecture import Architecture
from pipeline.plan import load_plan
from pipeline.profiling import compile_job
from pipeline.run import Run
from pipeline.stage import seconds_taken
from pipeline.stages.train import read_train_record
from pipeline.strategies import load_strategy
from profilers import agent
from profilers.compile_cache import compile_all
from profilers.files import write_atomic, write_json
from profilers.protocol import Protocol, protocol_named
from profilers.sweep import sweep
from profilers.target import Target

RESULTS = Path(__file__).parent / "results"
TARGETS = ("local:onnxruntime", "local:litert")
CHAINS, CELLS = "mbconv-28", "darts-28"
HEAD = (
    "space",
    "strategy",
    "accuracy",
    "95 %",
    "budget ms",
    "predicted ms",
    "measured ms",
    "M MACs",
    "passes",
    "search s",
    "train s",
)


@dataclass(frozen=True, slots=True)
class Search:
    """A strategy on a space, with what a search of minutes sets otherwise than one of days."""

    space: str
    strategy: str
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        return f"{self.space}-{self.strategy}"


SEARCHES = (
    Search(CHAINS, "random", {"epochs": 10, "networks": 4}),
    Search(CHAINS, "proxyless", {"epochs": 10, "warmup_epochs": 2, "alpha_learning_rate": 0.04}),
    Search(CHAINS, "darts", {"epochs": 3, "learning_rate": 0.05, "alpha_learning_rate": 0.02}),
    Search(CHAINS, "snas", {"epochs": 5, "learning_rate": 0.05, "alpha_learning_rate": 0.02}),
    Search(CHAINS, "fbnet", {"epochs": 4, "warmup_epochs": 1, "learning_rate": 0.05, "alpha_learning_rate": 0.04}),
    Search(CELLS, "darts", {"epochs": 2, "learning_rate": 0.05, "alpha_learning_rate": 0.02}),
    Search(CELLS, "pc-darts", {"epochs": 4, "warmup_epochs": 1, "batch_size": 64, "alpha_learning_rate": 0.02}),
)


class _Nobody:
    """Watches nothing."""

    def progress(self, part: str, done: int, planned: int) -> None: ...

    def note(self, text: str) -> None: ...


def millis(*words: str) -> None:
    """Run a command of ours; its failure ends this program."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *words]
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if code:
        sys.exit(code)


def opened(folder: Path) -> Run:
    return Run(folder=folder, plan=load_plan(folder), watch=_Nobody())


def train(run: Path, epochs: int) -> None:
    """Train what a search found for so many epochs, or what is left of them."""
    plan = load_plan(run)
    replace(plan, train=replace(plan.train, epochs=epochs)).save(run)
    millis("train", str(run))


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All of them, in one folder."""

    folder: Path
    images: int
    epochs: int  # of training what was found
    budget: str
    seed: int

    def table(self, search: Search, target: str) -> Path:
        return self.folder / "tables" / search.space / f"{Target.parse(target).slug}.yaml"

    def run(self, search: Search) -> Path:
        return self.folder / search.name

    def profile(self, search: Search) -> None:
        for target in TARGETS:
            path = self.table(search, target)
            if not path.exists():
                millis("profile", "--space", search.space, "--target", target, "--networks", "8", "-o", str(path))

    def search(self, search: Search) -> None:
        run = self.run(search)
        if (run / "search" / "result.json").exists():
            return
        words = ["--space", search.space, "--data", f"fashion-mnist?images={self.images}", "--seed", str(self.seed)]
        for target in TARGETS:
            words += ["--table", str(self.table(search, target)), "--budget", self.budget]
        for name, value in search.settings.items():
            words += ["--set", f"{name}={value}"]
        millis("search", *words, "--strategy", search.strategy, "-o", str(run))

    def derive(self, search: Search) -> None:
        """The network, confirmed on both targets: that needs a machine on which nothing else computes."""
        run = self.run(search)
        if not (run / "confirmed").exists():
            millis("derive", str(run), "--confirm")
            (run / "confirmed").touch()

    def train(self, search: Search) -> None:
        train(self.run(search), self.epochs)

    def row(self, search: Search, measured_ms: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        """What was found, and how long it took."""
        run = opened(self.run(search))
        network, record, seconds = run.architecture(), read_train_record(run), seconds_taken(run)
        accuracy = Accuracy.of(correct=record.test_correct, images=record.test_images)
        return {
            "space": search.space,
            "strategy": search.strategy,
            "settings": search.settings,
            "accuracy": accuracy.top1,
            "accuracy_95": [accuracy.low_95, accuracy.high_95],
            "budget_ms": [goal.budget_ms for goal in run.goals],
            "predicted_ms": [goal.table.network_ms(network.ops()) for goal in run.goals],
            "measured_ms": [measured_ms[target][search.name] for target in TARGETS],
            "macs": network.macs,
            "params": network.params,
            "passes": load_strategy(search.strategy).cost(run.search_task()),
            "search_s": seconds["search"],
            "train_s": seconds["train"],
            "choices": network.labels,
        }


STEPS = {
    "profile": Comparison.profile,
    "search": Comparison.search,
    "derive": Comparison.derive,
    "train": Comparison.train,
}


def measured(networks: Mapping[str, Architecture], target: str, protocol: Protocol, journal: Path) -> dict[str, float]:
    """Median ms of each network on a target, all of them interleaved."""
    runtime = Target.parse(target).runtime
    work = compile_all({name: compile_job(network.graph(), runtime) for name, network in networks.items()})
    measurements = sweep(work, Target.parse(target), protocol, journal)
    return {name: Latency.of(each).ms(protocol.statistic) for name, each in measurements.items()}


def markdown(rows: Sequence[Mapping[str, Any]], told: Mapping[str, Any]) -> str:
    cells = [
        [
            row["space"],
            f"`{row['strategy']}`",
            f"{row['accuracy']:.2%}",
            f"{row['accuracy_95'][0]:.1%} to {row['accuracy_95'][1]:.1%}",
            *(" / ".join(f"{ms:.3f}" for ms in row[name]) for name in ("budget_ms", "predicted_ms", "measured_ms")),
            f"{row['macs'] / 1e6:.2f}",
            f"{row['passes']:.0f}",
            f"{row['search_s']:.0f}",
            f"{row['train_s']:.0f}",
        ]
        for row in rows
    ]
    lines = ["| " + " | ".join(each) + " |" for each in (list(HEAD), ["---"] * len(HEAD), *cells)]
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    about = [f"`{told['command']}`, {told['date']}", f"{told['machine']}; {versions}; ms: {' / '.join(TARGETS)}."]
    return "\n\n".join(
        ["# Strategies beside one another", *about, "\n".join(lines), *(__doc__ or "").split("\n\n")[3:]]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/strategies"))
    parser.add_argument("--only", action="append", help="SPACE-STRATEGY; measure and tell nothing in the end")
    parser.add_argument("--until", choices=list(STEPS), default="train")
    parser.add_argument("--images", type=int, default=12000, help="of the 60,000 to train on")
    parser.add_argument("--epochs", type=int, default=12, help="of training what was found")
    parser.add_argument("--budget", default="40%", help="on each target")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    comparison = Comparison(
        folder=asked.folder, images=asked.images, epochs=asked.epochs, budget=asked.budget, seed=asked.seed
    )
    chosen = [search for search in SEARCHES if asked.only is None or search.name in asked.only]
    for step in list(STEPS)[: list(STEPS).index(asked.until) + 1]:
        for search in chosen:
            STEPS[step](comparison, search)
    if asked.only is not None or asked.until != "train":
        return
    runs = {search.name: comparison.run(search) for search in SEARCHES}
    networks = {name: Architecture.load(run / "architecture.json") for name, run in runs.items()}
    protocol = protocol_named("standard")
    measured_ms = {
        target: measured(networks, target, protocol, asked.folder / f"{Target.parse(target).slug}.measurements.jsonl")
        for target in TARGETS
    }
    rows = [comparison.row(search, measured_ms) for search in SEARCHES]
    told = {
        "command": " ".join(["python -m tests.benchmarks.strategies", *sys.argv[1:]]),
        "machine": f"{agent.cpu_model()}, {platform.machine()}",
        "versions": {name: version(name) for name in ("millis", "torch", "onnxruntime", "ai_edge_litert")},
        "date": time.strftime("%Y-%m-%d"),
    }
    text = markdown(rows, told)
    print(text)
    write_json(RESULTS / "strategies.json", told | {"found": rows})
    write_atomic(RESULTS / "strategies.md", text + "\n")


if __name__ == "__main__":
    main()
