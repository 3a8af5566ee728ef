"""Which latency loss ends closest to its budget? ProxylessNAS's, as its code has them, beside the adaptive multiplier.

    python tests/benchmarks/latency_losses.py [--space mbconv-8 --data digits --epochs 20 --seeds 2]

For budgets between the fastest and the slowest network, told is how far the expected latency of the last distribution
lies from the budget, and that of the network derived without regard to it: the most probable one. Costs are invented,
by MACs: what is compared is how well a loss steers.

The result is printed and saved under tests/benchmarks/results/ with machine, versions and date.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import torch

from pipeline.budget import Goal, Reach
from pipeline.data import load_data
from pipeline.derivation import derive
from pipeline.search_settings import LatencyForm, SearchSettings
from pipeline.search_task import SearchEpoch, SearchTask
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from pipeline.strategies import load_strategy
from tests.benchmarks.search_step import invented_table

RESULTS = Path(__file__).parent / "results"
SHARES = (0.2, 0.4, 0.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """One search: latencies over the budget, and the accuracy of paths on the architecture split."""

    loss: str
    share: float
    seed: int
    expected: float
    most_probable: float
    accuracy: float
    seconds: float


def search(space: SearchSpace, data: str, loss: LatencyForm, share: float, seed: int, epochs: int) -> Ended:
    table = invented_table(space)
    reach = Reach.of(space, table)
    goal = Goal(table=table, budget_ms=reach.fastest_ms + share * (reach.slowest_ms - reach.fastest_ms))
    settings = SearchSettings(
        epochs=epochs, latency_loss=loss, alpha_learning_rate=0.05, inner_steps=1, latency_unit="us"
    )
    told: list[SearchEpoch] = []
    with TemporaryDirectory() as folder:
        task = SearchTask(
            space=space,
            data=load_data(data, resolution=space.input_shape.height),
            goals=(goal,),
            settings=settings,
            seed=seed,
            folder=Path(folder),
        )
        begin = time.perf_counter()
        result = load_strategy("proxyless").search(task, told.append)
        taken = time.perf_counter() - begin
    assert result.log_probability is not None
    likely = derive(space, result.log_probability, (replace(goal, budget_ms=2 * reach.slowest_ms),))
    return Ended(
        loss=loss,
        share=share,
        seed=seed,
        expected=told[-1].expected_ms[str(goal.target)] / goal.budget_ms,
        most_probable=table.network_ms(likely.ops()) / goal.budget_ms,
        accuracy=told[-1].accuracy,
        seconds=taken,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="mbconv-8")
    parser.add_argument("--data", default="digits")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=2)
    asked = parser.parse_args()
    space = parse_space(asked.space)
    found = []
    for loss in get_args(LatencyForm):
        for share in SHARES:
            for seed in range(asked.seeds):
                ended = search(space, asked.data, loss, share, seed, asked.epochs)
                found.append(ended)
                print(
                    f"{loss:10} budget at {share:.0%}, seed {seed}: expected {ended.expected:.3f} of it, most probable "
                    f"{ended.most_probable:.3f}, accuracy {ended.accuracy:.1%}, {ended.seconds:.0f} s",
                    flush=True,
                )
        off = [abs(each.expected - 1) for each in found if each.loss == loss]
        print(f"{loss:10} off by {sum(off) / len(off):.1%} on average, by {max(off):.1%} at most", flush=True)
    record = {
        "space": space.name,
        "data": asked.data,
        "epochs": asked.epochs,
        "found": [asdict(each) for each in found],
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("millis", "torch")},
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / "latency_losses.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
