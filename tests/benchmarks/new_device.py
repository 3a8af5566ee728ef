"""A device from ten measurements: how well the latencies of other devices foretell those of a new one.

    python tests/benchmarks/new_device.py
    python tests/benchmarks/new_device.py --left-out

Data and split are HELP's (arXiv:2106.08630): 5,000 random networks of FBNet's space; nine devices are known, all 5,000
latencies of each; of a new device ten networks are measured. One of 20 repetitions is a random split, by its seed, into
4,000 networks that may be measured and 1,000 that are predicted; none is in both. Ten of the 4,000 are chosen by
`latency_tables.transfer`, as `millis profile --like` chooses, or at random for comparison. Told are, means over the
repetitions, on the 1,000: Spearman's correlation of prediction and latency, mean absolute percentage error, and the
share of latencies within the 90 % interval.

The new devices were looked at three times while the model was rebuilt, and nothing was chosen by that. The constants in
`kinship` and `transfer` were chosen with --left-out,
which takes each family of known devices in turn (a GPU at three batch sizes, two Xeons, each phone) for the new one and
the other families for the known ones, and by leaving out targets of one machine (ONNX Runtime, LiteRT, PyTorch; fp32,
int8; one and two threads) on the operations of proxyless-mobile.
How unlike known devices the new one is, how far alikeness reaches and how noisy it is, its ten measurements tell.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from latency_tables.additive import additive_costs
from latency_tables.calibration import quantile
from latency_tables.kinship import Items, Prior, expect
from latency_tables.transfer import explore, infer
from profilers import agent, cost
from profilers.shape import Shape

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

RESULTS = Path(__file__).parent / "results"
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "fbnet_latencies.csv.gz"
# Kernel, expansion, groups of the operations 0 to 7; operation 8 is skip.
OPERATIONS = ((3, 1, 1), (3, 1, 2), (3, 3, 1), (3, 6, 1), (5, 1, 1), (5, 1, 2), (5, 3, 1), (5, 6, 1))
STAGES = ((16, 1, 1), (24, 4, 2), (32, 4, 2), (64, 4, 2), (112, 4, 1), (184, 4, 2), (352, 1, 1))  # out, depth, stride
FAMILIES = {
    "1080ti_1": "1080ti",
    "1080ti_32": "1080ti",
    "1080ti_64": "1080ti",
    "silver_4114": "silver",
    "silver_4210r": "silver",
    "samsung_a50": "samsung_a50",
    "pixel3": "pixel3",
    "essential_ph_1": "essential_ph_1",
    "samsung_s7": "samsung_s7",
}
JUDGED = ("raspi4", "eyeriss", "fpga")
REPORTED = ("pixel2", "gold_6226", "gold_6240", "titan_rtx_64")
PUBLISHED = {"raspi4": 0.887, "eyeriss": 0.943, "fpga": 0.892}  # HELP's Spearman correlations with ten samples
MEASUREMENTS, REPETITIONS, CANDIDATES, CONFIDENCE = 10, 20, 4000, 0.9

Choice = Callable[["NDArray[float64]", "NDArray[float64]", Prior], list[int]]


@dataclass(frozen=True, slots=True)
class Block:
    """One operation at one shape. Layers of one shape hold the same ones, and so do networks more than once."""

    in_shape: Shape
    out: int
    stride: int
    kernel: int
    expand: int
    groups: int

    @property
    def cost(self) -> cost.Cost:
        wide = self.in_shape.strided(1, self.in_shape.channels * self.expand)
        narrow = wide.strided(self.stride)
        out = narrow.strided(1, self.out)
        total = cost.conv_bn(self.in_shape, wide, 1, self.groups)
        total += cost.conv_bn(wide, narrow, self.kernel, wide.channels) + cost.conv_bn(narrow, out, 1, self.groups)
        return total + cost.residual_add(out) if out == self.in_shape else total


def layers() -> list[list[Block]]:
    """The candidates of each of the 22 layers, but for skip."""
    found, shape = [], Shape(112, 112, 16)
    for out, depth, first_stride in STAGES:
        for stride in (first_stride, *[1] * (depth - 1)):
            found.append([Block(shape, out, stride, *operation) for operation in OPERATIONS])
            shape = shape.strided(stride, out)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measured:
    """counts [N, D]: what stands in each network; ms [N] by device; the items that are counted.

    The last item is everything else: stem, head, and skip where the shape changes, from which the other operations of
    its layer are told apart but the rest of the network is not.
    """

    counts: NDArray[float64]
    ms: dict[str, NDArray[float64]]
    items: Items


def load(path: Path = DATA) -> Measured:
    import numpy as np

    with gzip.open(path, "rt", encoding="ascii") as file:
        names, *rows = csv.reader(file)
    candidates = layers()
    blocks = list(dict.fromkeys(block for layer in candidates for block in layer))
    place = {block: i for i, block in enumerate(blocks)}
    counts = np.zeros((len(rows), len(blocks) + 1))
    counts[:, -1] = 1.0
    for network, row in zip(counts, rows, strict=True):
        for layer, choice in zip(candidates, row, strict=False):
            if int(choice) < len(OPERATIONS):
                network[place[layer[int(choice)]]] += 1
    ms = np.array([row[len(candidates) :] for row in rows], dtype=float).T
    devices = [name.removesuffix("_ms") for name in names[len(candidates) :]]
    items = Items(amounts=_amounts(blocks), features=_features(blocks), usual=counts.mean(axis=0))
    return Measured(counts=counts, ms=dict(zip(devices, ms, strict=True)), items=items)


def _amounts(blocks: list[Block]) -> NDArray[float64]:
    """[D, 3]: calls, MACs, elements moved; last of stem, head and classifier."""
    import numpy as np

    image, stem, head = Shape(224, 224, 3), Shape(112, 112, 16), Shape(7, 7, 1504)
    rest = cost.conv_bn(image, stem, 3) + cost.conv_bn(Shape(7, 7, 352), head, 1)
    rest += cost.global_pool(head) + cost.linear(1504, 1000)
    told = [(1, block.cost.macs, block.cost.elements_moved) for block in blocks]
    return np.array([*told, (4, rest.macs, rest.elements_moved)], dtype=float)


def _features(blocks: list[Block]) -> NDArray[float64]:
    """[D, F]: logarithms of sizes with mean 0 and standard deviation 1; the rest of a network is like nothing else."""
    import numpy as np

    sizes = np.log(
        [
            (
                block.in_shape.height,
                block.in_shape.channels,
                block.out,
                block.cost.macs,
                block.cost.elements_moved,
                block.kernel,
                block.expand,
                block.groups,
                block.stride,
            )
            for block in blocks
        ]
    )
    return np.vstack([(sizes - sizes.mean(axis=0)) / sizes.std(axis=0), np.full(sizes.shape[1], np.nan)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    spearman: float
    mape: float
    coverage_90: float

    @staticmethod
    def mean(scores: Iterable[Score]) -> Score:
        told = [asdict(score) for score in scores]
        return Score(**{field.name: mean(each[field.name] for each in told) for field in fields(Score)})


def chosen(rows: NDArray[float64], ms: NDArray[float64], prior: Prior) -> list[int]:
    """As the product chooses, the networks that may be measured standing for all that are to be predicted."""
    return list(explore(prior, rows, rows, lambda batch: {each: float(ms[each]) for each in batch}, MEASUREMENTS))


def at_random(_rows: NDArray[float64], _ms: NDArray[float64], _prior: Prior) -> list[int]:
    return list(range(MEASUREMENTS))  # of rows that were shuffled


def score(data: Measured, device: str, prior: Prior, choose: Choice, seed: int) -> Score:
    import numpy as np
    from scipy.stats import spearmanr

    shuffled = np.random.default_rng(seed).permutation(len(data.counts))
    rows, ms = data.counts[shuffled], data.ms[device][shuffled]
    measured = choose(rows[:CANDIDATES], ms[:CANDIDATES], prior)
    inference = infer(prior, rows[measured], ms[measured])
    predicted_ms, spread = inference.sums(rows[CANDIDATES:])
    off_ms = np.abs(predicted_ms - ms[CANDIDATES:])
    half_ms = quantile((1 + CONFIDENCE) / 2) * np.hypot(spread, inference.noise) * predicted_ms
    return Score(
        spearman=float(spearmanr(predicted_ms, ms[CANDIDATES:]).statistic),
        mape=float((off_ms / ms[CANDIDATES:]).mean()),
        coverage_90=float((off_ms <= half_ms).mean()),
    )


def scores(data: Measured, device: str, prior: Prior, choose: Choice) -> Score:
    return Score.mean(score(data, device, prior, choose, seed) for seed in range(REPETITIONS))


def priors(data: Measured, left_out: bool) -> dict[str, Prior]:
    """Of each new device: one from all known devices, or from all families but its own."""
    import numpy as np

    costs = {device: additive_costs(data.counts, data.ms[device]) for device in FAMILIES}

    def prior(known: Iterable[str]) -> Prior:
        names = list(known)
        return expect(np.stack([costs[name] for name in names], axis=1), [FAMILIES[name] for name in names], data.items)

    if not left_out:
        return dict.fromkeys((*JUDGED, *REPORTED), prior(FAMILIES))
    others = {
        out: prior(name for name in FAMILIES if FAMILIES[name] != out) for out in dict.fromkeys(FAMILIES.values())
    }
    return {device: others[family] for device, family in FAMILIES.items()}


def tell(title: str, told: Mapping[str, Mapping[str, Score]]) -> str:
    lines = [f"| {title} | Spearman | random | error | random | in 90 % interval | random |", "|---|" + "---|" * 6]
    for device, each in told.items():
        ours, random = each["chosen"], each["random"]
        lines.append(
            f"| {device} | {ours.spearman:.3f} | {random.spearman:.3f} | {ours.mape:.1%} | {random.mape:.1%} "
            f"| {ours.coverage_90:.0%} | {random.coverage_90:.0%} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--left-out", action="store_true", help="judge on the known devices, each family by the others")
    left_out = parser.parse_args().left_out
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    started, data = time.monotonic(), load()
    found: dict[str, dict[str, Score]] = {}
    for device, prior in priors(data, left_out).items():
        found[device] = {
            "chosen": scores(data, device, prior, chosen),
            "random": scores(data, device, prior, at_random),
        }
        print(f"{device}: {found[device]['chosen'].spearman:.4f}", flush=True)
    groups = {"mean": tuple(FAMILIES)} if left_out else {f"mean of {', '.join(JUDGED)}": JUDGED}
    for name, devices in groups.items():
        found[name] = {how: Score.mean(found[device][how] for device in devices) for how in ("chosen", "random")}
    save(found, left_out, time.monotonic() - started)


def save(found: Mapping[str, Mapping[str, Score]], left_out: bool, seconds: float) -> None:
    title = "each family of known devices from the others" if left_out else "new device"
    table = tell(title, found)
    record = {
        "data": "fbnet_latencies.csv.gz, of HELP (MIT)",
        "protocol": " ".join(__doc__.split("\n\n")[2].split()),
        "chosen how": " ".join(__doc__.split("\n\n")[3].split()),
        "measurements": MEASUREMENTS,
        "repetitions": REPETITIONS,
        "known": list(FAMILIES),
        "published by HELP": PUBLISHED,
        "found": {device: {how: asdict(each) for how, each in told.items()} for device, told in found.items()},
        "seconds": round(seconds),
        "machine": f"{agent.cpu_model()}, {platform.machine()}",
        "versions": {name: version(name) for name in ("numpy", "scipy", "scikit-learn")},
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / f"new_device{'_left_out' if left_out else ''}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    print(table, path, sep="\n")


if __name__ == "__main__":
    main()
