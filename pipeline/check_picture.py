"""The picture of a check: predicted against measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from pipeline.checking import CheckedNetwork, TableCheck
from pipeline.plotting import INK, MEASURED, MUTED, PREDICTED, SHADE, beside, error_bands, limits
from pipeline.report import signed_percent
from pipeline.table_pictures import Section, compose, describe, heading, scaled

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def check_picture(check: TableCheck) -> Figure:
    """Each network's prediction with its 90 % interval against what was measured, and how far off it was."""
    found = check.predicted
    told = (
        f"{found.networks} fresh networks of {check.space}, seed {check.seed}: mean error {found.mape:.1%}, "
        f"{found.coverage_90:.0%} within their 90% interval; plain sums are off by {check.plain.mape:.1%}. Measured "
        f"again at once, the same networks differ by {check.repeated.mape:.1%}"
    )
    if check.since is not None:
        told += f"; some that calibrated the table, by {check.since.mape:.1%} since then"
    sections: list[Section] = [(4.3, lambda part: _against(part, check)), (3.1, lambda part: _errors(part, check))]
    return compose(f"{describe(check.table)}\n{told}", sections)


def _against(part: SubFigure, check: TableCheck) -> None:
    networks = check.networks
    factor, unit = scaled(max(check.measured_ms))
    measured = [factor * each.measured_ms for each in networks]
    predicted = [factor * each.prediction.ms for each in networks]
    low, high = limits([*measured, *predicted])
    heading(part, f"Predicted against measured, {unit}")
    axes = part.subplots()
    axes.set(xlim=(low, high), ylim=(low, high), xlabel=f"predicted, {unit}", ylabel=f"measured, {unit}")
    axes.set_aspect("equal")
    axes.grid(visible=False)
    error_bands(axes, low, high)
    axes.plot([factor * each.plain_ms for each in networks], measured, "o", mfc="none", mec=MUTED, ms=4, alpha=0.7)
    ends = [each.prediction.interval_ms(0.9) for each in networks]
    axes.hlines(measured, [factor * low for low, _ in ends], [factor * high for _, high in ends], color=PREDICTED, lw=1)
    axes.plot(predicted, measured, "o", color=PREDICTED, ms=4)
    handles = [
        Line2D([], [], marker="o", color=PREDICTED, lw=1, label="predicted, 90 % interval"),
        Line2D([], [], marker="o", mfc="none", mec=MUTED, ls="", label=f"plain sums{_outside(check, low, high)}"),
    ]
    part.legend(handles=handles, loc="outside lower left", ncols=2, fontsize=9)


def _outside(check: TableCheck, low: float, high: float) -> str:
    """How many plain sums lie beyond the axes."""
    factor, _ = scaled(max(check.measured_ms))
    beyond = sum(not low <= factor * each.plain_ms <= high for each in check.networks)
    return f", {beyond} beyond the axis" if beyond else ""


def _errors(part: SubFigure, check: TableCheck) -> None:
    """What is left of the error, by latency, beside what a second measurement changes."""
    factor, unit = scaled(max(check.measured_ms))
    heading(part, "How far off: predicted over measured, %")
    axes = part.subplots()
    measured = [factor * each.measured_ms for each in check.networks]
    errors = [_percent(each, each.prediction.ms) for each in check.networks]
    again = [_percent(each, each.again_ms) for each in check.networks]
    ends = [[_percent(each, ms) for ms in each.prediction.interval_ms(0.9)] for each in check.networks]
    axes.axhspan(-5, 5, color=SHADE, lw=0)
    axes.axhline(0, color=MUTED, lw=0.8)
    axes.vlines(measured, *zip(*ends, strict=True), color=PREDICTED, lw=1)
    axes.plot(measured, errors, "o", color=PREDICTED, ms=4)
    axes.plot(measured, again, "D", color=MEASURED, mfc="white", ms=3.5, mew=1)
    if check.since is not None:
        axes.axhline(100 * (1 / check.slower - 1), color=MEASURED, lw=1, ls=(0, (4, 3)))
    _limit(axes, [*again, *(error for pair in ends for error in pair)])
    axes.grid(visible=False)
    axes.set_xlabel(f"measured, {unit}")
    handles = [
        Line2D([], [], marker="o", color=PREDICTED, lw=1, label="predicted, 90 % interval"),
        Line2D([], [], marker="D", mfc="white", mec=MEASURED, ls="", label="measured again"),
    ]
    if check.since is not None:
        label = "the table's own networks, measured now"
        handles.append(Line2D([], [], color=MEASURED, lw=1, ls=(0, (4, 3)), label=label))
    part.legend(handles=handles, loc="outside lower left", fontsize=9)


def _percent(network: CheckedNetwork, ms: float) -> float:
    return 100 * (ms / network.measured_ms - 1)


def _limit(axes: Axes, errors: Sequence[float]) -> None:
    """Room for every error, and in any case for the band of 5 %, named where there is room."""
    size = max(6.0, 1.05 * max(abs(error) for error in errors))
    axes.set_ylim(-size, size)
    for error in (-5, 5) if size < 50 else ():
        beside(axes, error, signed_percent(error / 100, 0), colour=INK)
