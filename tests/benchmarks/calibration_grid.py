"""Do tables tell the truth? Every space on every target: a table, then fresh random networks measured beside it.

    python tests/benchmarks/calibration_grid.py --folder runs/grid --seed 7 --networks 100

For each cell `millis profile` makes a table and `millis table check` measures networks that it has not seen, in two
sweeps. Tables, measurements and checks stay in the folder: a second call goes on where the first one stopped, and
measures nothing again. Told are the errors of predictions and of plain sums; how far the same networks differ when
measured again at once; how far the machine has moved since the table, by some of the table's own networks; and the
error at one speed, with that taken out. With `--predict-again` tables that learn otherwise than they did are held
against what was measured before, and nothing is measured. The result is saved as JSON and Markdown under
tests/benchmarks/results/; each network and a picture of each cell are in the folder.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

from latency_tables.accuracy import accuracy
from latency_tables.table_file import load_table
from pipeline.architecture import Architecture
from pipeline.spaces import parse_space
from profilers import agent
from profilers.files import write_atomic, write_json
from profilers.target import Target

RESULTS = Path(__file__).parent / "results"
SPACES = ("proxyless-mobile", "mbconv-64")
TARGETS = tuple(
    f"local:{runtime}?precision={precision}&threads={threads}"
    for runtime, precision, threads in product(("onnxruntime", "litert"), ("fp32", "int8"), (1, 2))
)
PACKAGES = ("millis", "onnxruntime", "ai_edge_litert", "litert-torch", "torch")
COLUMNS: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("mean error", lambda found: f"{found['mape']:.2%}"),
    ("bias", lambda found: f"{found['bias']:+.2%}"),
    ("worst", lambda found: f"{found['worst']:.1%}"),
    ("±5 %", lambda found: f"{found['within_5pct']:.0%}"),
    ("±10 %", lambda found: f"{found['within_10pct']:.0%}"),
    ("ranks", lambda found: "" if found["spearman"] is None else f"{found['spearman']:.4f}"),
    ("in 90 % interval", lambda found: f"{found['coverage_90']:.0%}"),
    ("at one speed", lambda found: f"{found['at_one_speed']['mape']:.2%}"),
    ("its interval", lambda found: f"{found['at_one_speed']['coverage_90']:.0%}"),
    ("plain sum", lambda found: f"{found['plain_sum']['mape']:.2%}"),
    ("measured again", lambda found: f"{found['measured_again']['mape']:.2%}"),
    ("slower since", lambda found: f"{found['slower_than_for_the_table'] - 1:+.2%}"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One space on one target, and what is asked of it."""

    space: str
    target: Target
    protocol: str
    networks: int
    seed: int
    folder: Path

    @property
    def table(self) -> Path:
        return self.folder / self.space.replace("?", "-").replace("&", "-") / f"{self.target.slug}.yaml"

    @property
    def record(self) -> Path:
        """What was found, once it was."""
        return self.table.with_name(f"{self.table.stem}.check-seed-{self.seed}-of-{self.networks}.json")

    @property
    def commands(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        where = str(self.table)
        profile = ("profile", "--space", self.space, "--target", str(self.target), "--protocol", self.protocol)
        check = ("table", "check", where, "--networks", str(self.networks), "--seed", str(self.seed), "--json")
        picture = str(self.record.with_suffix(".svg"))
        return (*profile, "-o", where, "--json"), (*check, "--picture", picture)

    def found(self) -> dict[str, Any]:
        """Profiled and checked, or what was found before."""
        if not self.record.exists():
            begin = time.perf_counter()
            (table,) = millis(self.commands[0])["tables"]
            middle = time.perf_counter()
            check = millis(self.commands[1])
            seconds = {"profile_s": round(middle - begin, 1), "check_s": round(time.perf_counter() - middle, 1)}
            commands = [" ".join(["millis", *words]) for words in self.commands]
            write_json(self.record, check | seconds | {"summary": table["summary"], "commands": commands})
        found: dict[str, Any] = json.loads(self.record.read_text(encoding="utf-8"))
        return found


def predicted_again(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """What was found of a table, had it predicted as it does now."""
    table, space = load_table(path), parse_space(record["space"])
    networks = [Architecture.from_labels(space, each["choices"]) for each in record["measured"]]
    predictions = [table.predict(network.ops()) for network in networks]
    measured_ms = [each["measured_ms"] for each in record["measured"]]

    def told(slower: float) -> dict[str, Any]:
        intervals = [(slower * low, slower * high) for low, high in (each.interval_ms(0.9) for each in predictions)]
        return asdict(accuracy([slower * each.ms for each in predictions], measured_ms, intervals))

    now = [
        each | {"predicted_ms": prediction.ms, "interval_90_ms": list(prediction.interval_ms(0.9))}
        for each, prediction in zip(record["measured"], predictions, strict=True)
    ]
    one_speed = told(record["slower_than_for_the_table"])
    return record | told(1.0) | {"at_one_speed": one_speed, "measured": now, "summary": table.summary()}


def millis(words: Sequence[str]) -> Any:
    """What a command prints; its progress goes on to the terminal, and its failure ends this program."""
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def markdown(cells: Sequence[dict[str, Any]], told: dict[str, Any]) -> str:
    """One row for each cell."""
    head = ["space", "target", "networks", *(name for name, _ in COLUMNS)]
    rows = [
        [each["space"], f"`{each['target']}`", str(each["networks"]), *(text(each) for _, text in COLUMNS)]
        for each in cells
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    about = [
        f"`{told['command']}`, {told['date']}",
        f"{told['machine']}; " + ", ".join(f"{name} {number}" for name, number in told["versions"].items()),
        f"Protocol {told['protocol']}; networks drawn with seed {told['seed']}, each measured in two sweeps.",
    ]
    return "\n\n".join(["# Predicted against measured", *about, "\n".join(lines), __doc__.split("\n\n")[2]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", action="append", help=f"may be repeated; by default {', '.join(SPACES)}")
    parser.add_argument("--target", action="append", help="may be repeated; by default each of " + ", ".join(TARGETS))
    parser.add_argument("--protocol", default="standard")
    parser.add_argument("--networks", type=int, default=100, help="fresh networks in each cell")
    parser.add_argument("--seed", type=int, default=1, help="one that has not been looked at before")
    parser.add_argument("--folder", type=Path, default=Path("runs/calibration-grid"), help="of tables and checks")
    parser.add_argument("--name", default="calibration_grid", help="of the result")
    parser.add_argument("--predict-again", action="store_true", help="nothing is measured")
    asked = parser.parse_args()
    found = []
    for space, text in product(asked.space or SPACES, asked.target or TARGETS):
        cell = Cell(
            space=space,
            target=Target.parse(text),
            protocol=asked.protocol,
            networks=asked.networks,
            seed=asked.seed,
            folder=asked.folder,
        )
        record = cell.found()
        found.append(predicted_again(record, cell.table) if asked.predict_again else record)
        told = ", ".join(f"{name} {value(found[-1])}" for name, value in COLUMNS)
        print(f"{cell.space} on {cell.target}: {told}", flush=True)
    about = {
        "command": " ".join(["python", "tests/benchmarks/calibration_grid.py", *sys.argv[1:]]),
        "protocol": asked.protocol,
        "seed": asked.seed,
        "machine": f"{agent.cpu_model()}, {platform.machine()}, {found[0]['environment'].get('cores', '?')} cores",
        "versions": {name: version(name) for name in PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / f"{asked.name}_seed_{asked.seed}.json"
    write_json(path, about | {"cells": [{key: each[key] for key in each if key != "measured"} for each in found]})
    write_atomic(path.with_suffix(".md"), markdown(found, about) + "\n")
    print(path, path.with_suffix(".md"), sep="\n")


if __name__ == "__main__":
    main()
