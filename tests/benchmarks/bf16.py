"""Would bf16 make steps faster on this CPU? Forward and backward under PyTorch's autocast beside fp32, in turns.

    python -m tests.benchmarks.bf16 [--threads 1 --pairs 9]

A path of a supernet is what `proxyless` and training compute, a mixture what `darts`, `fbnet` and `snas` do. Told are
medians in seconds and the losses of the same weights. Saved under tests/benchmarks/results/.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.spaces import parse_space
from pipeline.supernet import Supernet
from profilers import agent
from profilers.files import write_json

RESULTS = Path(__file__).parent / "results"
SPACES = {"mbconv-28": 64, "mbconv-64": 32, "proxyless-mobile": 8}  # and the batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Medians of both, and the losses."""

    space: str
    computed: str
    batch: int
    fp32_s: float
    bf16_s: float
    fp32_loss: float
    bf16_loss: float


def step(network: nn.Module, forward: Callable[[], Tensor], labels: Tensor, *, bf16: bool) -> float:
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        logits = forward()
    loss = cross_entropy(logits.float(), labels)
    network.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    return float(loss.detach())


def compare(space_name: str, computed: str, pairs: int) -> Compared:
    space, batch = parse_space(space_name), SPACES[space_name]
    torch.manual_seed(0)
    network = Supernet(space).to(memory_format=torch.channels_last).train()
    shape = space.input_shape
    images = torch.randn(batch, shape.channels, shape.height, shape.width).to(memory_format=torch.channels_last)
    labels = torch.randint(0, space.classes, (batch,))
    mixture = [torch.full((len(decision.labels),), 1 / len(decision.labels)) for decision in space.decisions]
    forward: dict[str, Callable[[], Tensor]] = {
        "path": lambda: network(images, [0] * len(space.decisions)),
        "mixture": lambda: network.forward_mixed(images, mixture),
    }
    seconds: dict[bool, list[float]] = {False: [], True: []}
    losses = {bf16: step(network, forward[computed], labels, bf16=bf16) for bf16 in seconds}
    for _ in range(pairs):
        for bf16, times in seconds.items():
            begin = time.perf_counter()
            step(network, forward[computed], labels, bf16=bf16)
            times.append(time.perf_counter() - begin)
    return Compared(
        space=space_name,
        computed=computed,
        batch=batch,
        fp32_s=median(seconds[False]),
        bf16_s=median(seconds[True]),
        fp32_loss=losses[False],
        bf16_loss=losses[True],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=9)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    found = []
    for space, computed in (*((space, "path") for space in SPACES), ("mbconv-28", "mixture")):
        found.append(compare(space, computed, asked.pairs))
        each = found[-1]
        print(
            f"{space}, {computed}: fp32 {each.fp32_s:.3f} s, bf16 {each.bf16_s:.3f} s: {each.fp32_s / each.bf16_s:.2f}x"
        )
    record = {
        "found": [asdict(each) for each in found],
        "machine": f"{agent.cpu_model()}, {platform.machine()}, {asked.threads} threads",
        "versions": {name: version(name) for name in ("millis", "torch")},
        "date": time.strftime("%Y-%m-%d"),
    }
    write_json(RESULTS / "bf16.json", record)


if __name__ == "__main__":
    main()
