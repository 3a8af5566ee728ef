"""The same search with the tables of two devices: each network should be faster on the device that it is for.

    python -m tests.benchmarks.cross_table --folder runs/cross [--images 12000 --budget 0.14ms --board-budget 50ms]

The devices are this machine and an ARM board that qemu emulates, reached over ssh, both with LiteRT. The board's table
is the one in latency_tables/data/; this machine's is measured first. All else of the two runs is the same: seed, data,
settings. Budgets are in milliseconds, or shares of the way from the fastest to the slowest network, for each device its
own: LiteRT's 7x7 kernels stretch that way here. At the end both networks are measured on both devices, interleaved. The
result is printed and saved under tests/benchmarks/results/.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import latency_tables
from latency_tables.table_file import load_table
from pipeline.architecture import Architecture
from pipeline.stages.train import read_train_record
from profilers import agent
from profilers.files import write_atomic, write_json
from profilers.protocol import protocol_named
from tests.benchmarks.strategies import measured, millis, opened, train
from tests.stand_ins.arm_board import build
from tests.stand_ins.sshd import Sshd

RESULTS = Path(__file__).parent / "results"
SPACE = "mbconv-28"
HERE, BOARD = "this machine", "emulated ARM board"
TARGETS = {HERE: "local:litert", BOARD: "ssh:board:litert"}
PROTOCOLS = {HERE: "standard", BOARD: "quick"}
BOARD_TABLE = Path(next(iter(latency_tables.__path__))) / "data" / "emulated-cortex-a76" / SPACE / "litert.yaml"
SETTINGS = {"epochs": 10, "warmup_epochs": 2, "alpha_learning_rate": 0.04}


@contextmanager
def board() -> Iterator[None]:
    """The emulated board, reachable as `ssh:board`."""
    with TemporaryDirectory() as folder, Sshd(folder=Path(folder), commands=build().commands) as sshd:
        before = os.environ.get("MILLIS_SSH")
        os.environ["MILLIS_SSH"] = sshd.client
        yield
        del os.environ["MILLIS_SSH"]
        if before is not None:
            os.environ["MILLIS_SSH"] = before


def tables(folder: Path) -> dict[str, Path]:
    here = folder / "here.yaml"
    if not here.exists():
        millis("profile", "--space", SPACE, "--target", TARGETS[HERE], "-o", str(here))
    return {HERE: here, BOARD: BOARD_TABLE}


def found(name: str, table: Path, asked: argparse.Namespace) -> tuple[Architecture, float]:
    """The network that a search for one device finds, and its accuracy on the test images."""
    run = asked.folder / name.replace(" ", "-")
    if not (run / "architecture.json").exists():
        words = ["--space", SPACE, "--data", f"fashion-mnist?images={asked.images}", "--table", str(table)]
        words += [word for each in SETTINGS.items() for word in ("--set", "=".join(map(str, each)))]
        millis("search", *words, "--budget", asked.budgets[name], "-o", str(run))
    train(run, asked.epochs)
    record = read_train_record(opened(run))
    return Architecture.load(run / "architecture.json"), record.test_correct / record.test_images


def markdown(told: dict[str, Any]) -> str:
    foretold, timed = ([f"{kind} on {name}, ms" for name in TARGETS] for kind in ("predicted", "measured"))
    head = ["searched for", *foretold, *timed, "accuracy", "M MACs"]
    rows = [
        [
            name,
            *(f"{told[kind][device][name]:.3f}" for kind in ("predicted_ms", "measured_ms") for device in TARGETS),
            f"{told['accuracy'][name]:.2%}",
            f"{told['macs'][name] / 1e6:.2f}",
        ]
        for name in TARGETS
    ]
    lines = ["| " + " | ".join(each) + " |" for each in (head, ["---"] * len(head), *rows)]
    choices = [f"- {name}: {', '.join(labels)}" for name, labels in told["choices"].items()]
    about = f"`{told['command']}`, {told['date']}; {told['machine']}"
    return "\n\n".join(["# One search, two devices", about, "\n".join(lines), "\n".join(choices)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/cross"))
    parser.add_argument("--images", type=int, default=12000)
    parser.add_argument("--epochs", type=int, default=12, help="of training what was found")
    parser.add_argument("--budget", default="0.14ms", help="on this machine")
    parser.add_argument("--board-budget", default="50ms", help="on the board")
    parser.add_argument("--search-only", action="store_true", help="leave the measuring for a quiet machine")
    asked = parser.parse_args()
    asked.budgets = {HERE: asked.budget, BOARD: asked.board_budget}
    with board():
        paths = tables(asked.folder)
        runs = {name: found(name, path, asked) for name, path in paths.items()}
        if asked.search_only:
            return
        networks = {name: network for name, (network, _) in runs.items()}
        predicted = {
            device: {name: load_table(path).network_ms(network.ops()) for name, network in networks.items()}
            for device, path in paths.items()
        }
        measured_ms = {
            name: measured(
                networks, target, protocol_named(PROTOCOLS[name]), asked.folder / f"{name}.measurements.jsonl"
            )
            for name, target in TARGETS.items()
        }
    told = {
        "command": " ".join(["python -m tests.benchmarks.cross_table", *sys.argv[1:]]),
        "predicted_ms": predicted,
        "measured_ms": measured_ms,
        "accuracy": {name: accuracy for name, (_, accuracy) in runs.items()},
        "macs": {name: network.macs for name, network in networks.items()},
        "choices": {name: list(network.labels.values()) for name, network in networks.items()},
        "machine": f"{agent.cpu_model()}, {platform.machine()}",
        "versions": {name: version(name) for name in ("millis", "torch", "ai_edge_litert")},
        "date": time.strftime("%Y-%m-%d"),
    }
    text = markdown(told)
    print(text)
    write_json(RESULTS / "cross_table.json", told)
    write_atomic(RESULTS / "cross_table.md", text + "\n")


if __name__ == "__main__":
    main()
