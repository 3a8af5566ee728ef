"""What does a step of a search cost? Beside a training step of the sampled network alone, paired in one run.

    python tests/benchmarks/search_step.py [--space mbconv-28 --batch 64 --threads 1 --pairs 60]

Told are, of ProxylessNAS: a weight step over a training step of the very network that it sampled (median over pairs
that follow each other, in either order, and the middle 90 % of resampled medians), and the peak memory of a process
that does the one or the other. Then how steps of ProxylessNAS and of DARTS grow with layers, candidates and image size,
and what the latency term takes of them. Images are noise: the cost of reading data is not told.

The result is printed and saved under tests/benchmarks/results/ with machine, versions and date.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from latency_tables.table import Latency, LatencyTable
from pipeline.architecture import Architecture
from pipeline.budget import Goal, Reach
from pipeline.data.memory import InMemory
from pipeline.data.seeding import generator
from pipeline.data.splits import Augment, Data, Normalisation, Split
from pipeline.gates import sample_path
from pipeline.search_loop import GradientSearch, SearchLoop
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchTask
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from pipeline.strategies import load_strategy
from pipeline.strategies.proxyless import Proxyless
from pipeline.training import GRADIENT_NORM, parameter_groups
from profilers.environment import Environment
from profilers.protocol import protocol_named
from profilers.target import Target

RESULTS = Path(__file__).parent / "results"
GROWTH = {
    "mbconv-28": "as it is: 10 blocks, up to 7 candidates, 28x28",
    "mbconv-28?depths=2,2,2": "6 blocks",
    "mbconv-28?depths=6,8,6": "20 blocks",
    "mbconv-28?kernels=3": "up to 3 candidates",
    "mbconv-28?kernels=3,5,7&expands=2,3,4,6": "up to 13 candidates",
    "mbconv-28?resolution=56": "56x56",
}


def invented_table(space: SearchSpace) -> LatencyTable:
    """What operations cost does not matter here."""
    entries = {
        op: Latency(median_ms=0.01 + op.macs / 1e7, p90_ms=None, spread=0.0, samples=1, verdict="steady")
        for op in space.op_specs()
    }
    return LatencyTable(
        target=Target.parse("local:onnxruntime"),
        environment=Environment({"cpu": "none"}),
        protocol=protocol_named("quick"),
        entries=entries,
    )


def task_of(space_name: str, strategy: str, batch: int) -> SearchTask:
    space = parse_space(space_name)
    table = invented_table(space)
    reach = Reach.of(space, table)
    random = torch.Generator().manual_seed(0)
    height, width, channels = space.input_shape
    pixels = torch.randint(256, (2 * batch, channels, height, width), dtype=torch.uint8, generator=random)
    whole = Split.whole(InMemory(pixels), torch.arange(2 * batch) % space.classes)
    weights, architecture = whole.divided(0.5, seed=0)
    data = Data(
        name="noise",
        classes=tuple(map(str, range(space.classes))),
        shape=space.input_shape,
        normalisation=Normalisation(mean=0.5, std=0.3),
        augment=Augment(),
        weights=weights,
        architecture=architecture,
        test=Split.whole(InMemory(pixels[:1]), torch.zeros(1, dtype=torch.int64)),
    )
    goals = (Goal(table=table, budget_ms=(reach.fastest_ms + reach.slowest_ms) / 2),)
    settings = SearchSettings(strategy=strategy, epochs=1000, warmup_epochs=0, batch_size=batch)
    return SearchTask(space=space, data=data, goals=goals, settings=settings, seed=0, folder=Path())


def loop_of(task: SearchTask) -> SearchLoop:
    strategy = load_strategy(task.settings.strategy)
    assert isinstance(strategy, GradientSearch)
    return SearchLoop.begin(task, strategy.begin(task))


def batch_of(task: SearchTask) -> tuple[Tensor, Tensor]:
    shape, size = task.space.input_shape, task.settings.batch_size
    images = torch.randn(size, shape.channels, shape.height, shape.width, generator=torch.Generator().manual_seed(1))
    return images.contiguous(memory_format=torch.channels_last), torch.arange(size) % task.space.classes


def seconds(run: Callable[[], object]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


@dataclass(frozen=True, slots=True)
class Alone:
    """A network trained by the same recipe, alone."""

    network: nn.Module
    optimizer: torch.optim.SGD
    batch: tuple[Tensor, Tensor]

    @staticmethod
    def of(network: nn.Module, task: SearchTask) -> Alone:
        network.to(memory_format=torch.channels_last)
        groups = parameter_groups(network, task.settings.weight_decay)
        optimizer = torch.optim.SGD(groups, lr=0.01, momentum=0.9, nesterov=True, foreach=True)
        return Alone(network, optimizer, batch_of(task))

    def step(self) -> None:
        images, labels = self.batch
        loss = cross_entropy(self.network(images), labels, label_smoothing=0.1)
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_NORM, foreach=True)
        self.optimizer.step()
        float(loss.detach())


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Medians, and the ratio of a weight step to the network alone."""

    weight_step_ms: float
    alone_ms: float
    ratio: float
    ratio_90: tuple[float, float]
    pairs: int


def paired(task: SearchTask, pairs: int) -> Paired:
    """Every pair is one network: a weight step that samples it, and a training step of it alone."""
    loop, batch = loop_of(task), batch_of(task)
    searcher = loop.searcher
    assert isinstance(searcher, Proxyless)
    searched: list[float] = []
    alone: list[float] = []
    for number in range(pairs + 3):
        loop.step += 1
        path = sample_path(searcher.distribution(), generator(task.seed, "path", loop.step))
        network = Alone.of(searcher.supernet.derived(_architecture(task, path)), task)
        network.step()  # both have their momentum
        moment = loop.moment
        searcher.step(moment, batch, None)
        runs: list[tuple[list[float], Callable[[], object]]] = [
            (searched, lambda m=moment: searcher.step(m, batch, None)),  # type: ignore[misc]
            (alone, network.step),
        ]
        for times, run in runs if number % 2 else runs[::-1]:
            times.append(seconds(run))
    searched, alone = searched[3:], alone[3:]
    ratios = [one / other for one, other in zip(searched, alone, strict=True)]
    random = Random(0)
    resampled = sorted(median(random.choices(ratios, k=pairs)) for _ in range(1000))
    return Paired(
        weight_step_ms=1e3 * median(searched),
        alone_ms=1e3 * median(alone),
        ratio=median(ratios),
        ratio_90=(resampled[50], resampled[949]),
        pairs=pairs,
    )


def _architecture(task: SearchTask, path: list[int]) -> Architecture:
    return Architecture(task.space, tuple(path))


def step_ms(task: SearchTask, rounds: int) -> tuple[float, float, float]:
    """Medians of a weight step, of a step of alpha, and of what the latency term takes of the latter."""
    loop, batch = loop_of(task), batch_of(task)
    searcher, latency = loop.searcher, []
    weights, both = [], []

    def term() -> None:
        probability = searcher.distribution()
        loss = loop.latency.combined(torch.zeros(()), probability, loop.architecture_step)
        torch.autograd.grad(loss, list(searcher.learned.choices.values())[:1])

    def distribution() -> None:
        torch.autograd.grad(searcher.distribution().sum(), list(searcher.learned.choices.values())[:1])

    for _ in range(rounds + 1):
        loop.step += 1
        loop.architecture_step += 1
        moment = loop.moment
        weights.append(seconds(lambda: searcher.step(moment, batch, None)))  # noqa: B023 - called at once
        both.append(seconds(lambda: searcher.step(moment, batch, batch)))  # noqa: B023
        latency.append(seconds(term) - seconds(distribution))
    weight_s, both_s, latency_s = (median(each[1:]) for each in (weights, both, latency))
    return 1e3 * weight_s, 1e3 * (both_s - weight_s), 1e3 * latency_s


def peak_kib(space: str, batch: int, threads: int, what: str) -> tuple[int, int]:
    """Peak resident memory of a process that trains the supernet or a network alone; and before it began to."""
    command = [sys.executable, __file__, "--child", what, "--space", space, "--batch", str(batch)]
    done = subprocess.run([*command, "--threads", str(threads)], check=True, capture_output=True, text=True)
    before, peak = done.stdout.split()
    return int(before), int(peak)


def peak_so_far_kib() -> int:
    """Of this process's own memory; what getrusage tells is its parent's where that was larger."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1])


def child(what: str, task: SearchTask) -> None:
    """Weight steps of paths, or training steps of the same networks; tell the memory before and at the peak."""
    macs = [[sum(op.macs for op in ops) for ops in decision.ops] for decision in task.space.decisions]
    path = [row.index(max(row)) for row in macs]  # of the largest network: the peak is its own
    batch, before = batch_of(task), peak_so_far_kib()
    if what == "alone":
        alone = Alone.of(_architecture(task, path).graph().module(), task)
        for _ in range(3):
            alone.step()
    else:
        loop = loop_of(task)
        assert isinstance(loop.searcher, Proxyless)
        with torch.no_grad():
            loop.searcher.alpha.values[torch.arange(len(path)), torch.tensor(path)] = 50.0
        for _ in range(3):
            loop.step += 1
            loop.searcher.step(loop.moment, batch, None)
    print(before, peak_so_far_kib())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="mbconv-28")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--no-growth", action="store_true", help="Only the pairs and the memory.")
    parser.add_argument("--child", choices=["searched", "alone"], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.child:
        child(asked.child, task_of(asked.space, "proxyless", asked.batch))
        return
    found = paired(task_of(asked.space, "proxyless", asked.batch), asked.pairs)
    low, high = found.ratio_90
    print(
        f"{asked.space}, batch {asked.batch}: weight step {found.weight_step_ms:.1f} ms, the network alone "
        f"{found.alone_ms:.1f} ms, ratio {found.ratio:.3f} ({low:.3f} to {high:.3f})"
    )
    memory = {what: peak_kib(asked.space, asked.batch, asked.threads, what) for what in ("searched", "alone")}
    ratio = memory["searched"][1] / memory["alone"][1]
    whole, alone = (peak / 1024 for _, peak in memory.values())
    print(f"peak memory {whole:.0f} MiB beside {alone:.0f} MiB, ratio {ratio:.3f}")
    growth = []
    for name, what in () if asked.no_growth else GROWTH.items():
        for strategy in ("proxyless", "darts"):
            weight_ms, alpha_ms, latency_ms = step_ms(task_of(name, strategy, asked.batch), 4)
            growth.append(
                {
                    "space": name,
                    "what": what,
                    "strategy": strategy,
                    "weight_step_ms": weight_ms,
                    "alpha_step_ms": alpha_ms,
                    "latency_term_ms": latency_ms,
                }
            )
            print(
                f"{what:44} {strategy:10} weights {weight_ms:7.1f} ms, alpha {alpha_ms:7.1f} ms, "
                f"latency term {latency_ms:.3f} ms, {latency_ms / (weight_ms + alpha_ms):.2%}"
            )
    record = {
        "space": asked.space,
        "batch": asked.batch,
        "threads": asked.threads,
        "paired": asdict(found),
        "peak_memory_kib": {what: {"before": before, "peak": peak} for what, (before, peak) in memory.items()},
        "growth": growth,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("millis", "torch")},
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / f"search_step_{asked.space.partition('?')[0]}_threads_{asked.threads}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
