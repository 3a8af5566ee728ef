"""What does an iteration of DARTS cost? Our supernet of cells beside a plain one, paired in one run.

    python -m tests.benchmarks.darts_step [--threads 2 --batch 16 --pairs 5]

An iteration is a step of the architecture and a step of the weights, first or second order, at 16 channels, 8 cells and
32x32 (arXiv:1806.09055). The plain supernet (`tests/pipeline/plain_cell_supernet.py`) is written as the published code
is: every candidate a module, all gradients in every step; both have the same weights, alphas and images, which are
noise. Told are the medians of both, the median ratio of iterations that follow each other, how far losses and gradients
of alpha lie apart, and the peak memory of a process that does the one or the other. Then how our iterations grow with
cells, channels and image size.

The result is printed and saved under tests/benchmarks/results/ with machine, versions and date.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.bilevel import second_order
from pipeline.cell_supernet import CellSupernet
from pipeline.cells import CellFrame
from profilers.shape import Shape
from tests.pipeline.plain_cell_supernet import PlainCellSupernet, copy_weights

RESULTS = Path(__file__).parent / "results"
Kind = Literal["ours", "plain"]
Order = Literal["first", "second"]
KINDS: tuple[Kind, ...] = ("ours", "plain")
ORDERS: tuple[Order, ...] = ("first", "second")
# The published code on the machine of this project (two cores of an AMD EPYC 9005), PyTorch's two threads.
PUBLISHED = {"first": {"seconds": 6.56, "peak_gb": 3.0}, "second": {"seconds": 14.3, "peak_gb": 3.8}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    channels: int = 16
    cells: int = 8
    image: int = 32
    batch: int = 16


GROWTH = {
    "as it is": Size(),
    "5 cells": Size(cells=5),
    "11 cells": Size(cells=11),
    "14 cells": Size(cells=14),
    "8 channels": Size(channels=8),
    "32 channels": Size(channels=32),
    "16x16": Size(image=16),
    "48x48": Size(image=48),
    "64x64": Size(image=64),
    "batch 32": Size(batch=32),
}


@dataclass(slots=True)
class Search:
    """A supernet with what its iterations need."""

    net: CellSupernet | PlainCellSupernet
    alpha: Tensor
    weight_optimizer: torch.optim.SGD
    alpha_optimizer: torch.optim.Adam
    batches: tuple[tuple[Tensor, Tensor], ...]  # for training and for validation
    alpha_gradient: Tensor

    @staticmethod
    def of(net: CellSupernet | PlainCellSupernet, size: Size) -> Search:
        random = torch.Generator().manual_seed(1)
        shape = size.batch, 3, size.image, size.image
        batches = tuple(
            (torch.randn(shape, generator=random), torch.randint(10, (size.batch,), generator=random)) for _ in range(2)
        )
        alpha = (1e-3 * torch.randn(2 * net.edges, 8, generator=random)).requires_grad_()
        return Search(
            net,
            alpha,
            torch.optim.SGD(net.parameters(), lr=0.025, momentum=0.9, weight_decay=3e-4),
            torch.optim.Adam([alpha], lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
            batches,
            torch.zeros_like(alpha),
        )

    @property
    def ours(self) -> bool:
        return isinstance(self.net, CellSupernet)

    def loss(self, which: int) -> Tensor:
        images, labels = self.batches[which]
        return cross_entropy(self.net.forward_mixed(images, list(self.alpha.softmax(1))), labels)

    def iterate(self, order: Order) -> tuple[float, float]:
        """The losses of validation and training."""
        validation = self._step_alpha(order)
        self.alpha.requires_grad_(not self.ours)
        self.weight_optimizer.zero_grad()
        training = self.loss(0)
        torch.autograd.backward(training)
        self.alpha.requires_grad_(True)
        nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.weight_optimizer.step()
        return validation, training.item()

    def _step_alpha(self, order: Order) -> float:
        told: list[Tensor] = []

        def validation() -> Tensor:
            told.append(self.loss(1))
            return told[-1]

        if order == "second":
            found = second_order(self.net, [self.alpha], self.weight_optimizer, lambda: self.loss(0), validation)
            self.alpha.grad = found[0]
        else:
            self.alpha.grad = None
            self.net.requires_grad_(not self.ours)
            torch.autograd.backward(validation())
            self.net.requires_grad_(True)
        assert self.alpha.grad is not None
        self.alpha_gradient = self.alpha.grad.clone()
        self.alpha_optimizer.step()
        return told[-1].item()


def searches(size: Size) -> tuple[Search, Search]:
    """Ours and the plain one, of the same weights."""
    torch.manual_seed(0)
    plain = PlainCellSupernet(size.channels, size.cells)
    ours = our_supernet(size)
    copy_weights(plain, ours)
    return Search.of(ours, size), Search.of(plain, size)


def our_supernet(size: Size) -> CellSupernet:
    frame = CellFrame(Shape(size.image, size.image, 3), size.channels, size.cells, 10)
    return CellSupernet(frame).to(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paired:
    """Medians in seconds; differences of the first iteration, relative to the plain one's values.

    What single precision leaves open is told by the plain supernet itself, in another layout of memory.
    """

    order: Order
    ours_s: float
    plain_s: float
    ratio: float
    ours_all_s: tuple[float, ...]
    plain_all_s: tuple[float, ...]
    apart: Apart
    layouts_apart: Apart


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """The larger difference of both losses, and that of the gradients of alpha."""

    losses: float
    alpha_gradients: float

    def __str__(self) -> str:
        return f"losses {self.losses:.0e}, gradients of alpha {self.alpha_gradients:.0e}"


def apart(search: Search, plain: Search, losses: tuple[float, float], plain_losses: tuple[float, float]) -> Apart:
    each = zip(losses, plain_losses, strict=True)
    gradients = (search.alpha_gradient - plain.alpha_gradient).norm() / plain.alpha_gradient.norm()
    return Apart(losses=max(abs(one / other - 1) for one, other in each), alpha_gradients=gradients.item())


def paired(order: Order, size: Size, pairs: int) -> Paired:
    ours, plain = searches(size)
    _, other_layout = searches(size)
    other_layout.net.to(memory_format=torch.channels_last)
    losses = [each.iterate(order) for each in (ours, plain, other_layout)]
    found = apart(ours, plain, losses[0], losses[1]), apart(other_layout, plain, losses[2], losses[1])
    del other_layout
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(pairs):
        for search, taken in zip((ours, plain), times, strict=True):
            begin = time.perf_counter()
            search.iterate(order)
            taken.append(time.perf_counter() - begin)
    return Paired(
        order=order,
        ours_s=median(times[0]),
        plain_s=median(times[1]),
        ratio=median(other / one for one, other in zip(*times, strict=True)),
        ours_all_s=tuple(times[0]),
        plain_all_s=tuple(times[1]),
        apart=found[0],
        layouts_apart=found[1],
    )


def peak_mib(kind: Kind, order: Order, threads: int) -> float:
    """Peak resident memory of a process that does nothing but three iterations."""
    command = [sys.executable, "-m", "tests.benchmarks.darts_step", "--child", kind, order, "--threads", str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def child(kind: Kind, order: Order) -> None:
    size = Size()
    search = Search.of(our_supernet(size) if kind == "ours" else PlainCellSupernet(), size)
    for _ in range(3):
        search.iterate(order)
    # What getrusage tells is the parent's where that was larger.
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="utf-8"))
    assert found
    print(int(found[1]) / 1024)


def growth(rounds: int) -> Iterator[dict[str, str | float]]:
    for name, size in GROWTH.items():
        search = Search.of(our_supernet(size), size)
        search.iterate("first")
        times = []
        for _ in range(rounds):
            begin = time.perf_counter()
            search.iterate("first")
            times.append(time.perf_counter() - begin)
        yield {"what": name, "first_order_s": median(times)}


def processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.machine()


def markdown(record: dict[str, object], pairs: list[Paired], memory: dict[str, float]) -> str:
    lines = [
        "| order | ours, s | plain, s | ratio | published code, s | ratio | ours, MiB | plain, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in pairs:
        published_s = PUBLISHED[each.order]["seconds"]
        lines.append(
            f"| {each.order} | {each.ours_s:.2f} | {each.plain_s:.2f} | {each.ratio:.1f} | {published_s} | "
            f"{published_s / each.ours_s:.1f} | {memory[f'ours {each.order}']:.0f} | "
            f"{memory[f'plain {each.order}']:.0f} |"
        )
    lines += ["", "| first iteration, relative | of the losses | of alpha's gradients |", "|---|---|---|"]
    for each in pairs:
        for what, found in (("ours and plain", each.apart), ("plain in two layouts", each.layouts_apart)):
            lines.append(f"| {what}, {each.order} order | {found.losses:.0e} | {found.alpha_gradients:.0e} |")
    lines += ["", "| ours, first order | s |", "|---|---|"]
    grown = record["growth"]
    assert isinstance(grown, list)
    lines += [f"| {each['what']} | {each['first_order_s']:.2f} |" for each in grown]
    lines += ["", f"{record['machine']}; PyTorch {version('torch')}; {record['date']}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--no-growth", action="store_true", help="Only the pairs and the memory.")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    if asked.child:
        child(*asked.child)
        return
    pairs = [paired(order, Size(batch=asked.batch), asked.pairs) for order in ORDERS]
    for each in pairs:
        print(
            f"{each.order} order: ours {each.ours_s:.2f} s, plain {each.plain_s:.2f} s, ratio {each.ratio:.2f}; apart: "
            f"{each.apart}; two layouts of the plain one: {each.layouts_apart}"
        )
    memory = {f"{kind} {order}": peak_mib(kind, order, asked.threads) for order in ORDERS for kind in KINDS}
    for what, mib in memory.items():
        print(f"{what} order: peak {mib:.0f} MiB")
    grown = []
    for row in () if asked.no_growth else growth(3):
        print(f"{row['what']:12} {row['first_order_s']:.2f} s")
        grown.append(row)
    record = {
        "batch": asked.batch,
        "threads": asked.threads,
        "pairs": [asdict(each) for each in pairs],
        "published": PUBLISHED,
        "peak_mib": memory,
        "growth": grown,
        "load_average": os.getloadavg(),
        "machine": f"{processor()}, {torch.get_num_threads()} threads",
        "versions": {name: version(name) for name in ("millis", "torch")},
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / f"darts_step_threads_{asked.threads}.json"
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(markdown(record, pairs, memory), encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
