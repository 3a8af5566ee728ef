"""The picture of a device: what costs what on it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from itertools import groupby
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from latency_tables.table import LatencyTable
from pipeline.plotting import EXPANDS, INK, MUTED, PREDICTED, SHADE, STYLE, WIDTH, beside
from pipeline.report import significant
from pipeline.table_costs import OpCost, Place, Trust, by_place, costs_of, op_name, place_name, size_name
from profilers.protocol import IMPORTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3
_MOST_BARS = 16
_MOST_SIZES = 12
_NORMAL_90 = 1.645  # standard deviations on either side of a 90 % interval
_MARKS: dict[Trust, tuple[str, str]] = {
    "measured": ("o", "measured"),
    "noisy": ("X", "measured, never steady"),
    "inferred": ("o", "inferred, 90 % interval"),
}

Section = tuple[float, Callable[[SubFigure], None]]  # height in inches, and what draws it


def device_picture(table: LatencyTable) -> Figure:
    """What bottlenecks cost by shape, kernel and expansion; how fast MACs are; what everything else costs."""
    costs = costs_of(table)
    places = by_place(costs)
    sections: list[Section] = []
    if places:
        sections.append((panels_height(places), lambda part: _bottlenecks(part, places, costs)))
    if any(cost.op.macs for cost in costs):
        sections.append((2.6, lambda part: _speed(part, [cost for cost in costs if cost.op.macs])))
    drawn = {cost.op for group in places.values() for cost in group}
    rest = _others([cost for cost in costs if cost.op not in drawn], table.sum_ms(()))
    if rest:
        sections.append((0.7 + 0.23 * len(rest), lambda part: _bars(part, rest)))
    return compose(describe(table), sections)


def describe(table: LatencyTable) -> str:
    """What a table is of, and how it was obtained."""
    facts = table.environment.facts
    place = [facts[name] for name in ("device", "cpu") if name in facts]
    target = table.target
    version = facts.get("runtime_version", "")
    runtime = f"{target.runtime} {version}" if version[:1].isdigit() else version  # some say which package it is of
    threads = f"{target.threads} thread" + ("s" if target.threads > 1 else "")
    protocol = table.protocol.describe() if table.protocol.name == IMPORTED else f"protocol {table.protocol.name}"
    networks = f"calibrated on {len(table.networks)} networks" if table.networks else ""
    told = [*place, runtime, target.precision, threads, protocol, networks]
    return f"{target}\n" + ", ".join(each for each in told if each)


def compose(title: str, sections: Sequence[Section]) -> Figure:
    """Sections above each other under a title whose first line stands out."""
    head, *lines = title.split("\n")
    above = textwrap.wrap(head, 50, break_on_hyphens=False)
    below = [piece for line in lines for piece in textwrap.wrap(line, 76, break_on_hyphens=False)]
    middle = 0.12 + 0.2 * len(above)
    top = middle + 0.1 + 0.155 * len(below)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, top + sum(height for height, _ in sections)))
        heights = [top, *(height for height, _ in sections)]
        parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0]
        parts[0].text(0.02, 1 - 0.08 / top, "\n".join(above), va="top", size=12, weight="bold")
        parts[0].text(0.02, 1 - middle / top, "\n".join(below), va="top", size=9, color=MUTED)
        for part, (_, draw) in zip(parts[1:], sections, strict=True):
            draw(part)
        return figure


def heading(part: SubFigure, text: str) -> None:
    part.suptitle(text, x=0.02, ha="left", size=10, weight="bold")


def scaled(largest_ms: float) -> tuple[float, str]:
    """A factor and a unit that make latencies readable."""
    return (1000.0, "µs") if largest_ms < 0.5 else (1.0, "ms")


def expand_colours(costs: Iterable[OpCost]) -> dict[int, str]:
    """One colour for each expansion."""
    expands = sorted({cost.expand for cost in costs if cost.op.kind == "mbconv"})
    return {expand: EXPANDS[place % len(EXPANDS)] for place, expand in enumerate(expands)}


def panels_height(places: Sized) -> float:
    """Inches that the panels of so many places take, with heading and legend."""
    return 0.85 + 1.3 * -(-len(places) // _COLUMNS)


def panels(part: SubFigure, places: Sequence[Place]) -> list[Axes]:
    """A small panel for each place, a row of them on one scale."""
    rows = -(-len(places) // _COLUMNS)
    grid = part.subplots(rows, _COLUMNS, sharex=True, sharey="row", squeeze=False)
    kinds = len({(operation.act, operation.se) for _, operation in places}) > 1
    for axes in grid.flat[len(places) :]:
        axes.set_visible(False)
    for axes, place in zip(grid.flat, places, strict=False):
        axes.set_title(place_name(place, kinds=kinds), size=9, color=INK)
        axes.tick_params(labelbottom=True)
    return list(grid.flat[: len(places)])


def kernel_axes(grid: Sequence[Axes], kernels: Sequence[int]) -> None:
    """Once everything is drawn: kernels along the panels, costs from zero up."""
    grid[0].set_xticks(range(len(kernels)), [f"k{kernel}" for kernel in kernels])
    grid[0].set_xlim(-0.3, len(kernels) - 0.7)
    for axes in grid:
        axes.set_ylim(bottom=0)


def _bottlenecks(part: SubFigure, places: dict[Place, list[OpCost]], costs: Sequence[OpCost]) -> None:
    """Cost by kernel, a line for each expansion, a panel for each place."""
    shown = [cost for group in places.values() for cost in group]
    factor, unit = scaled(max(cost.ms for cost in shown))
    calibrated = any(abs(cost.alone_ms / cost.ms - 1) > 1e-6 for cost in shown)
    kernels = sorted({cost.kernel for cost in shown})
    colours = expand_colours(costs)
    heading(part, f"What a bottleneck costs, {unit}; each row has its own scale")
    grid = panels(part, list(places))
    for axes, group in zip(grid, places.values(), strict=True):
        for expand, line in lines_of(group):
            at = [kernels.index(cost.kernel) for cost in line]
            if calibrated:
                alone = [factor * cost.alone_ms for cost in line]
                axes.plot(at, alone, color=colours[expand], alpha=0.4, lw=1, ls=(0, (2, 1.5)))
            axes.plot(at, [factor * cost.ms for cost in line], color=colours[expand])
            for x, cost in zip(at, line, strict=True):
                _mark(axes, x, cost, factor, colours[expand])
    kernel_axes(grid, kernels)
    handles = _legend(shown, calibrated, colours)
    marked = any(cost.trust != "measured" for cost in shown)
    part.legend(handles=handles, loc="outside lower left", ncols=2 if marked else 3, fontsize=9)


def lines_of(group: Sequence[OpCost]) -> list[tuple[int, list[OpCost]]]:
    """The costs of one place by expansion, each line by kernel."""
    ordered = sorted(group, key=lambda cost: (cost.expand, cost.kernel))
    return [(expand, list(line)) for expand, line in groupby(ordered, lambda cost: cost.expand)]


def _mark(axes: Axes, x: float, cost: OpCost, factor: float, colour: str) -> None:
    shape, _ = _MARKS[cost.trust]
    face = "white" if cost.trust == "inferred" else colour
    if cost.trust == "inferred":
        reach = factor * cost.ms * _NORMAL_90 * cost.spread
        axes.errorbar(x, factor * cost.ms, yerr=reach, color=colour, lw=1, capsize=2)
    axes.plot(x, factor * cost.ms, shape, mfc=face, mec=colour, ms=6 if shape == "X" else 4, clip_on=False, zorder=3)


def _legend(costs: Sequence[OpCost], calibrated: bool, colours: Mapping[int, str]) -> list[Line2D]:
    expands = sorted({cost.expand for cost in costs})
    lines = [Line2D([], [], color=colours[expand], label=f"expansion {expand}") for expand in expands]
    if calibrated:
        lines.append(Line2D([], [], color=MUTED, label="in a network"))
        lines.append(Line2D([], [], color=MUTED, alpha=0.6, lw=1, ls=(0, (2, 1.5)), label="alone"))
    trusts = {cost.trust for cost in costs}
    if trusts == {"measured"}:
        return lines
    return lines + [
        Line2D([], [], ls="", marker=shape, color=MUTED, mfc="white" if trust == "inferred" else MUTED, label=label)
        for trust, (shape, label) in _MARKS.items()
        if trust in trusts
    ]


def _speed(part: SubFigure, costs: Sequence[OpCost]) -> None:
    """Multiply-accumulates a second by the size of the input: kernels from left to right, expansions by colour."""
    heading(part, "How fast: billions of MACs a second")
    sizes = list(dict.fromkeys(size_name(cost.op.in_shape) for cost in sorted(costs, key=_size)))
    bottlenecks = [cost for cost in costs if cost.op.kind == "mbconv"]
    kernels, colours = sorted({cost.kernel for cost in bottlenecks}), expand_colours(bottlenecks)
    axes = part.subplots()
    for place in range(0, len(sizes), 2):
        axes.axvspan(place - 0.5, place + 0.5, color=SHADE, lw=0, zorder=0)
    for cost in costs:
        x = float(sizes.index(size_name(cost.op.in_shape)))
        if cost.op.kind == "mbconv":
            x += 0.5 * (kernels.index(cost.kernel) / max(1, len(kernels) - 1) - 0.5)
        colour = colours[cost.expand] if cost.op.kind == "mbconv" else MUTED
        face = "none" if cost.trust == "inferred" else colour
        shape = "X" if cost.trust == "noisy" else "o" if cost.op.kind == "mbconv" else "s"
        axes.plot(x, cost.gmacs_per_s, shape, mec=colour, mfc=face, ms=5, alpha=0.8)
    labelled = range(0, len(sizes), -(-len(sizes) // _MOST_SIZES))
    axes.set_xticks(labelled, [sizes[place] for place in labelled])
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel(_speed_caption(kernels, costs), size=9)


def _speed_caption(kernels: Sequence[int], costs: Sequence[OpCost]) -> str:
    words = ["input size, px"]
    if len(kernels) > 1:
        words[0] += ", kernels " + ", ".join(map(str, kernels)) + " from left to right"
    if any(cost.op.kind != "mbconv" for cost in costs) and kernels:
        words.append("squares are no bottlenecks")
    return "; ".join(words)


def _size(cost: OpCost) -> int:
    return -cost.op.in_shape.height * cost.op.in_shape.width


def _others(costs: Sequence[OpCost], call_ms: float) -> list[tuple[str, float]]:
    """The other operations and the call itself, the costliest first."""
    rest = [(op_name(cost.op), cost.ms) for cost in costs]
    if call_ms > 0:
        rest.append(("calling a network, once", call_ms))
    return sorted(rest, key=lambda each: -each[1])


def _bars(part: SubFigure, rest: Sequence[tuple[str, float]]) -> None:
    factor, unit = scaled(rest[0][1])
    shown = rest[:_MOST_BARS]
    more = f"; the {len(shown)} costliest of {len(rest)}" if len(shown) < len(rest) else ""
    heading(part, f"What everything else costs, {unit}{more}")
    axes = part.subplots()
    axes.barh(range(len(shown)), [factor * ms for _, ms in shown], height=0.6, color=PREDICTED)
    for row, (_, ms) in enumerate(shown):
        beside(axes, row, significant(factor * ms), colour=INK)
    axes.set_yticks(range(len(shown)), [name for name, _ in shown], color=INK)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
