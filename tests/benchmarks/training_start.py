"""Which weights should training start from? From scratch against the search's own, equal epochs and so equal time.

    python tests/benchmarks/training_start.py RUN --epochs 5 --seeds 3

RUN is the folder of a finished search. Accuracies are on the architecture split; the test split is not touched. The
result is printed and saved under tests/benchmarks/results/ with machine, versions and date.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from statistics import mean

import torch
from torch import nn

from pipeline.cli.console import ProgressBars
from pipeline.plan import load_plan
from pipeline.run import Run
from pipeline.strategies import load_strategy
from pipeline.training import train
from profilers.blocks import build_chain

RESULTS = Path(__file__).parent / "results"


def initial_network(run: Run, start: str, seed: int) -> nn.Module:
    architecture = run.architecture()
    if start == "search":
        return load_strategy(run.plan.search.strategy).searched_weights(run.search_task(), architecture)
    torch.manual_seed(seed)
    return build_chain(architecture.ops())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    run = Run(folder=asked.run, plan=load_plan(asked.run), watch=ProgressBars())
    settings = replace(run.plan.train, epochs=asked.epochs)
    found: dict[str, dict[str, list[float]]] = {}
    for start in ("scratch", "search"):
        accuracies, seconds = [], []
        for seed in range(asked.seeds):
            begin = time.perf_counter()
            accuracies.append(train(initial_network(run, start, seed), run.data, settings, seed=seed).accuracy)
            seconds.append(time.perf_counter() - begin)
        found[start] = {"accuracy": accuracies, "seconds": seconds}
        told = ", ".join(f"{accuracy:.2%}" for accuracy in accuracies)
        print(f"{start:8} mean {mean(accuracies):.2%} ({told}) in {mean(seconds):.0f} s each")
    record = {
        "data": run.plan.data,
        "space": run.space.name,
        "strategy": run.plan.search.strategy,
        "epochs": asked.epochs,
        "found": found,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("millis", "torch")},
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / f"training_start_{run.plan.data}_{asked.epochs}_epochs.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
