"""What makes two operations alike: numbers that tell their size, shape and kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from math import log
from typing import TYPE_CHECKING

from profilers.op_spec import OpSpec

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


def features(ops: Sequence[OpSpec]) -> NDArray[float64]:
    """[D, F], each column with mean 0 and standard deviation 1; what is the same for all is left out."""
    import numpy as np

    told = [_describe(op) for op in ops]
    names = sorted({name for each in told for name in each})
    table = np.array([[each.get(name, 0.0) for name in names] for each in told]).reshape(len(ops), len(names))
    spread = table.std(axis=0)
    varied = np.ptp(table, axis=0) > 0  # a deviation may be above zero by rounding
    return np.asarray((table[:, varied] - table[:, varied].mean(axis=0)) / spread[varied])


def likeness(ops: Sequence[OpSpec], reach: float) -> NDArray[float64]:
    """[D, D]: 1 for the same features, falling off by a normal curve of width `reach` in standard deviations."""
    import numpy as np

    points = features(ops)
    apart = np.square(points[:, None] - points[None]).sum(axis=2) / max(1, points.shape[1])
    return np.asarray(np.exp(-apart / (2 * reach**2)))


def _describe(op: OpSpec) -> dict[str, float]:
    """By name: its kind, its shapes and costs, and every number or choice that the operation itself has."""
    height, width, channels = op.in_shape
    described = {
        f"kind {op.kind}": 1.0,
        "pixels": log(height * width),
        "channels": log(channels),
        "out channels": log(op.out_shape.channels),
        "macs": log(1 + op.macs),
        "elements moved": log(1 + op.cost.elements_moved),
    }
    for field in fields(op.operation):  # type: ignore[arg-type]
        value = getattr(op.operation, field.name)
        if isinstance(value, int) and field.name != "out":
            described[field.name] = log(1 + value)
        elif isinstance(value, str):
            described[f"{field.name} {value}"] = 1.0
    return described
