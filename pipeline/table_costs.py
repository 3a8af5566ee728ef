"""What a picture of a table shows of each operation, and how operations belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from latency_tables.table import LatencyTable
from profilers.op_spec import OpSpec
from profilers.operations import MBConv
from profilers.shape import Shape

Trust = Literal["measured", "noisy", "inferred"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpCost:
    """One operation of a table: what it adds to a network and what it takes alone."""

    op: OpSpec
    ms: float
    alone_ms: float
    trust: Trust
    spread: float  # of an inferred latency, its relative standard deviation

    @property
    def kernel(self) -> int:
        return getattr(self.op.operation, "kernel", 1)

    @property
    def expand(self) -> int:
        return getattr(self.op.operation, "expand", 1)

    @property
    def gmacs_per_s(self) -> float:
        return self.op.macs / self.ms / 1e6


# Bottlenecks that differ in kernel and expansion only.
Place = tuple[Shape, MBConv]


def costs_of(table: LatencyTable) -> list[OpCost]:
    """Every operation that costs anything, in the table's order."""
    return [
        OpCost(
            op=op,
            ms=table.op_ms(op),
            alone_ms=latency.ms(table.protocol.statistic),
            trust="inferred" if latency.source == "inferred" else "noisy" if latency.verdict == "noisy" else "measured",
            spread=latency.spread,
        )
        for op, latency in table.entries.items()
        if not op.free
    ]


def place_of(op: OpSpec) -> Place | None:
    """Where a bottleneck stands, whatever its kernel and expansion; None for other operations."""
    if not isinstance(op.operation, MBConv):
        return None
    return op.in_shape, replace(op.operation, kernel=1, expand=1, se=min(1, op.operation.se))


def by_place(costs: Sequence[OpCost], most: int = 24) -> dict[Place, list[OpCost]]:
    """Bottlenecks of which a place has several, large images first; of too many places, those that cost most."""
    places: dict[Place, list[OpCost]] = {}
    for cost in costs:
        if (place := place_of(cost.op)) is not None:
            places.setdefault(place, []).append(cost)
    several = {place: group for place, group in places.items() if len(group) > 1}
    costliest = sorted(several, key=lambda place: -max(cost.ms for cost in several[place]))[:most]
    return {place: several[place] for place in sorted(costliest, key=_along_a_network)}


def _along_a_network(place: Place) -> tuple[int, ...]:
    """Places in about the order in which a network passes them."""
    shape, operation = place
    return -shape.height * shape.width, shape.channels, operation.stride, operation.out


def place_name(place: Place, *, kinds: bool) -> str:
    """Input size, channels in and out, stride; with `kinds`, activation and squeeze-excite on a second line."""
    shape, operation = place
    stride = f" /{operation.stride}" if operation.stride > 1 else ""
    name = f"{size_name(shape)} px  {shape.channels}→{operation.out}{stride}"
    return f"{name}\n{operation.act}{', SE' if operation.se else ''}" if kinds else name


def size_name(shape: Shape) -> str:
    return str(shape.height) if shape.height == shape.width else f"{shape.height}x{shape.width}"


def op_name(op: OpSpec) -> str:
    """The operation in a few words: `conv 224 px 3→32 k3 /2`."""
    label = "" if op.label == op.kind else f" {op.label}"
    stride = getattr(op.operation, "stride", 1)
    step = f" /{stride}" if stride > 1 else ""
    return f"{op.kind} {size_name(op.in_shape)} px {op.in_shape.channels}→{op.out_shape.channels}{label}{step}"
