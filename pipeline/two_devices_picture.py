"""The picture of two devices side by side: what is dear on one and cheap on the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean
from typing import TYPE_CHECKING

from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from latency_tables.accuracy import rank_correlation
from latency_tables.table import LatencyTable
from pipeline.plotting import INK, MEASURED, MUTED, PREDICTED
from pipeline.report import significant
from pipeline.table_costs import OpCost, Place, by_place, costs_of, size_name
from pipeline.table_pictures import Section, compose, describe, heading, kernel_axes, lines_of, panels, panels_height
from profilers.errors import MillisError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from profilers.op_spec import OpSpec

_COLOURS = (PREDICTED, MEASURED)
_DASHES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """An operation of both tables, its cost on each in units of the typical operation there."""

    first: OpCost
    second: OpCost

    @property
    def dearer(self) -> float:
        """How much dearer the operation is on the second device than on the first, whose typical costs are equal."""
        return self.second.ms / self.first.ms


Row = tuple[str, list[float]]  # what operations have in common, and how much dearer each is on the second device


def two_devices_picture(first: LatencyTable, second: LatencyTable) -> Figure:
    """Costs of the operations of both tables, each in units of its device's typical (geometric mean) operation.

    Raises MillisError where no operation stands in both.
    """
    pairs, slower = _paired(first, second)
    names = _names(first, second)
    ranks = rank_correlation([pair.first.ms for pair in pairs], [pair.second.ms for pair in pairs])
    lines = [
        f"{names[0]} and {names[1]}",
        *(describe(table).replace("\n", ": ") for table in (first, second)),
        f"{len(pairs)} operations stand in both. A typical one takes {significant(slower)} times as long on the second"
        + ("" if ranks is None else f"; their ranks correlate by {ranks:.3f}"),
    ]
    groups = _groups(pairs)
    places = by_place([pair.first for pair in pairs])
    sections: list[Section] = [
        (1.4 + 0.23 * sum(map(len, groups)) + 0.1 * len(groups), lambda part: _dearer(part, groups, names))
    ]
    if places:
        second_of = {pair.first.op: pair.second for pair in pairs}
        sections.append((panels_height(places), lambda part: _side_by_side(part, places, second_of, names)))
    return compose("\n".join(lines), sections)


def _paired(first: LatencyTable, second: LatencyTable) -> tuple[list[_Pair], float]:
    """The operations of both tables, and how much slower a typical one is on the second device."""
    costs = {cost.op: cost for cost in costs_of(first)}, {cost.op: cost for cost in costs_of(second)}
    shared = [op for op in costs[0] if op in costs[1]]
    if not shared:
        raise MillisError(f"{first.path} and {second.path}: no operation stands in both, so nothing can be compared")
    typical_ms = [geometric_mean([each[op].ms for op in shared]) for each in costs]
    relative = [
        [replace(each[op], ms=each[op].ms / ms) for op in shared] for each, ms in zip(costs, typical_ms, strict=True)
    ]
    pairs = [_Pair(first=one, second=other) for one, other in zip(*relative, strict=True)]
    return pairs, typical_ms[1] / typical_ms[0]


def _names(first: LatencyTable, second: LatencyTable) -> tuple[str, str]:
    """The targets; the files where both are of the same one."""
    if first.target != second.target or first.path is None or second.path is None:
        return str(first.target), str(second.target)
    return first.path.stem, second.path.stem


def _groups(pairs: Sequence[_Pair]) -> list[list[Row]]:
    """All operations by kind; bottlenecks by kernel, by expansion, by size of the input, where these vary."""
    bottlenecks = [pair for pair in pairs if pair.first.op.kind == "mbconv"]
    groups = [
        _rows(pairs, lambda cost: (0, cost.op.kind)),
        _rows(bottlenecks, lambda cost: (cost.kernel, f"kernel {cost.kernel}")),
        _rows(bottlenecks, lambda cost: (cost.expand, f"expansion {cost.expand}")),
        _rows(bottlenecks, lambda cost: (-cost.op.in_shape.height, f"{size_name(cost.op.in_shape)} px")),
    ]
    return [group for place, group in enumerate(groups) if place == 0 or len(group) > 1]


def _rows(pairs: Sequence[_Pair], level: Callable[[OpCost], tuple[int, str]]) -> list[Row]:
    """The operations by a property: its rank and its name."""
    levels = sorted({level(pair.first) for pair in pairs})
    return [(name, [pair.dearer for pair in pairs if level(pair.first) == (at, name)]) for at, name in levels]


def _dearer(part: SubFigure, groups: Sequence[Sequence[Row]], names: tuple[str, str]) -> None:
    """Each operation's cost on the second device over that on the first, and their mean, by what it is."""
    heading(part, "What is relatively dear where")
    axes = part.subplots()
    labels: list[str] = []
    at: list[float] = []
    for gap, group in enumerate(groups):
        for name, ratios in group:
            at.append(len(labels) + 0.5 * gap)
            labels.append(name)
            mean = geometric_mean(ratios)
            axes.plot(ratios, [at[-1]] * len(ratios), "o", color=MUTED, alpha=0.35, ms=3.5, mew=0)
            axes.plot(mean, at[-1], "D", color=_COLOURS[mean > 1], ms=6)
    axes.axvline(1, color=MUTED, lw=0.8)
    _ratio_axis(axes, [ratio for group in groups for _, ratios in group for ratio in ratios])
    axes.set_yticks(at, labels, color=INK)
    axes.set_ylim(at[-1] + 0.6, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("cost on the second over cost on the first; 1 for a typical operation", size=9)
    handles = [
        Line2D([], [], marker="D", ls="", color=colour, ms=6, label=f"dearer on {name}")
        for colour, name in zip(_COLOURS, names, strict=True)
    ]
    handles.append(Line2D([], [], marker="o", ls="", color=MUTED, alpha=0.5, label="one operation"))
    part.legend(handles=handles, loc="outside lower left", fontsize=9)


def _ratio_axis(axes: Axes, ratios: Sequence[float]) -> None:
    """A logarithmic axis about 1 with ticks at plain ratios."""
    reach = max(1.25, *(max(ratio, 1 / ratio) for ratio in ratios)) ** 1.05
    low, high = min(1 / 1.25, *ratios) ** 1.05, max(1.25, *ratios) ** 1.05
    steps = (1.25, 1.5, 2) if reach < 3 else (2, 4, 8, 16) if reach < 32 else (10, 100, 1000, 10_000)
    ticks = sorted([1.0, *steps, *(1 / step for step in steps)])
    axes.set_xscale("log", base=2)
    axes.set_xticks([tick for tick in ticks if low <= tick <= high])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda ratio, _: f"{ratio:.2g}" if ratio < 1 else f"{ratio:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)


def _side_by_side(
    part: SubFigure,
    places: Mapping[Place, Sequence[OpCost]],
    second_of: Mapping[OpSpec, OpCost],
    names: tuple[str, str],
) -> None:
    """Relative costs of bottlenecks by kernel: a colour for each device, a dash for each expansion."""
    heading(part, "Bottlenecks, in units of a typical operation")
    shown = [cost for group in places.values() for cost in group]
    kernels = sorted({cost.kernel for cost in shown})
    expands = sorted({cost.expand for cost in shown})
    dashes = {expand: _DASHES[place % len(_DASHES)] for place, expand in enumerate(reversed(expands))}
    grid = panels(part, list(places))
    for axes, group in zip(grid, places.values(), strict=True):
        for colour, costs in zip(_COLOURS, (group, [second_of[cost.op] for cost in group]), strict=True):
            for expand, line in lines_of(costs):
                at = [kernels.index(cost.kernel) for cost in line]
                axes.plot(at, [cost.ms for cost in line], color=colour, ls=dashes[expand], marker="o", ms=3)
    kernel_axes(grid, kernels)
    devices = [Line2D([], [], color=colour, label=name) for colour, name in zip(_COLOURS, names, strict=True)]
    lines = [Line2D([], [], color=MUTED, ls=dashes[each], lw=1.4, label=f"expansion {each}") for each in expands]
    part.legend(handles=devices, loc="outside lower left", fontsize=9)
    part.legend(handles=lines, loc="outside lower right", fontsize=9)
