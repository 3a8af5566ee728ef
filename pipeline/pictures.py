"""The pictures of a report: plots as SVG whose colours follow the page's theme, and the strip as data for the page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.plotting import (
    ACCURACY,
    INK,
    MEASURED,
    MUTED,
    PALETTE,
    PREDICTED,
    SHADE,
    STYLE,
    WIDTH,
    beside,
    error_bands,
    lay_out,
    limits,
)
from pipeline.report import Report, TargetReport, TrainPoint, signed_percent, significant
from pipeline.search_task import SearchEpoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from pipeline.recurrent.report import StepReport


@dataclass(frozen=True, slots=True, kw_only=True)
class StripBlock:
    """One layer in the strip of a network: `kernel` sets its height, `expand` its width, `heat` its colour."""

    label: str
    title: str
    share: float  # of the network's predicted latency
    heat: float  # the share relative to the largest in the report: 0..1
    kernel: int
    expand: int
    removed: bool
    size: str  # input height x width where it differs from the layer before, else empty


def strip(report: Report, target: TargetReport) -> list[StripBlock]:
    """The layers of the found network with their shares of its latency on one target."""
    hottest = hottest_share(report)
    blocks: list[StripBlock] = []
    before = ""
    for block, share in zip(report.blocks, _shares(report, target), strict=True):
        spec = block.spec
        size = f"{spec.in_shape.height}×{spec.in_shape.width}"  # noqa: RUF001 - a product, not a letter
        blocks.append(
            StripBlock(
                label=f"conv {block.label}" if spec.kind == "conv" else block.label,
                title=f"{block.name}: {block.op}",
                share=share,
                heat=share / hottest,
                kernel=getattr(spec.operation, "kernel", 1),
                expand=getattr(spec.operation, "expand", 1),
                removed=spec.free,
                size="" if size == before else size,
            )
        )
        before = size
    return blocks


def hottest_share(report: Report) -> float:
    """The largest share that any layer has of the latency on any target: the strong end of the strips' colours."""
    return max(share for target in report.targets for share in _shares(report, target))


def _shares(report: Report, target: TargetReport) -> list[float]:
    """What each layer takes of the predicted latency; a calibrated network also has a cost of its own."""
    costs = [block.latency_ms[target.target] for block in report.blocks]
    total = max(target.predicted_ms, sum(costs))
    return [cost / total for cost in costs]


def prediction(target: TargetReport | StepReport) -> str:
    """Predicted against measured: the found network, and the networks that the table was calibrated with."""
    predicted = [point.predicted_ms for point in target.calibration]
    measured = [point.measured_ms for point in target.calibration]
    low, high = limits([*predicted, *measured, target.predicted_ms, target.measured_ms])
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 4.6))
        axes = figure.add_subplot(xlim=(low, high), ylim=(low, high), xlabel="predicted, ms", ylabel="measured, ms")
        axes.set_aspect("equal")
        axes.grid(visible=False)
        error_bands(axes, low, high)
        if target.calibration:
            label = f"the {len(predicted)} networks that calibrated the table"
            axes.scatter(predicted, measured, s=32, facecolor="none", edgecolor=MUTED, label=label, zorder=3)
        label = f"this network, {signed_percent(target.error)} off its prediction"
        axes.scatter(target.predicted_ms, target.measured_ms, s=60, marker="D", color=MEASURED, label=label, zorder=4)
        figure.legend(loc="outside upper left")
        return as_svg(figure, f"prediction {target.target}", f"Predicted and measured latency on {target.target}")


def latency_range(target: TargetReport | StepReport) -> str:
    """Where the found network and its budget lie between the fastest and the slowest network of the space."""
    rows = [
        ("slowest of the space", target.slowest_ms, MUTED),
        (f"budget, {target.budget}", target.budget_ms, INK),
        ("predicted", target.predicted_ms, PREDICTED),
        ("measured", target.measured_ms, MEASURED),
        ("fastest of the space", target.fastest_ms, MUTED),
    ]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.2))
        axes = figure.add_subplot(ylim=(len(rows) - 0.4, -0.6), xlabel="latency, ms")
        axes.axvspan(target.fastest_ms, target.slowest_ms, color=SHADE, lw=0)
        axes.axvline(target.budget_ms, color=INK, lw=1, ls=(0, (4, 3)))
        axes.plot([target.measured_ms, target.p90_ms], [3, 3], "-", color=MEASURED)
        axes.plot(target.p90_ms, 3, "|", color=MEASURED, ms=10, mew=1.8)
        for row, (_, value_ms, colour) in enumerate(rows):
            axes.plot(value_ms, row, "D" if colour == MEASURED else "o", color=colour, ms=7)
            beside(axes, row, significant(value_ms), colour=INK)
        axes.set_xlim(left=0)
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows], color=INK, size=10)
        axes.tick_params(axis="y", length=0)
        axes.grid(visible=False)
        axes.spines["left"].set_visible(False)
        return as_svg(figure, f"range {target.target}", f"Latency range of the space on {target.target}")


def search_curves(report: Report) -> str:
    """Expected latency per target with its budget, and accuracy, over the epochs of the search."""
    targets = report.targets
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.5 + 1.5 * (len(targets) + 1)))
        panels = _panels(figure, len(targets) + 1)
        for axes, target in zip(panels, targets, strict=False):
            points = [(p.epoch, p.expected_ms[target.target]) for p in report.search if target.target in p.expected_ms]
            axes.set_title(f"expected latency on {target.target}, ms")
            axes.plot(*zip(*points, strict=True), marker=".", color=PREDICTED)
            axes.axhline(target.budget_ms, color=INK, lw=1, ls=(0, (4, 3)))
            beside(axes, target.budget_ms, f"budget\n{significant(target.budget_ms)}", colour=INK)
        panels[-1].set_title("accuracy in the search, %")
        epochs, accuracies = [p.epoch for p in report.search], [100 * p.accuracy for p in report.search]
        panels[-1].plot(epochs, accuracies, marker=".", color=ACCURACY)
        _shade_warmup(panels, report.search)
        return as_svg(figure, "search", "Expected latency and accuracy over the search")


def training_curves(points: Sequence[TrainPoint]) -> str:
    """Loss and accuracy over the epochs of the training of the found network."""
    epochs = [point.epoch for point in points]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.5))
        loss, accuracy = _panels(figure, 2)
        loss.set_title("training loss")
        loss.plot(epochs, [point.loss for point in points], marker=".", color=MUTED)
        accuracy.set_title("accuracy, %")
        accuracy.plot(epochs, [100 * point.accuracy for point in points], marker=".", color=ACCURACY)
        return as_svg(figure, "training", "Loss and accuracy over the training")


def _panels(figure: Figure, rows: int) -> list[Axes]:
    """Panels above each other over one axis of epochs."""
    panels = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    for axes in panels:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        axes.margins(x=0.01, y=0.12)
    return panels


def _shade_warmup(panels: Iterable[Axes], points: Sequence[SearchEpoch]) -> None:
    """The epochs before the architecture is searched, as a shade."""
    warmup = [point.epoch for point in points if point.phase == "warmup"]
    if warmup:
        for axes in panels:
            axes.axvspan(min(warmup) - 0.5, max(warmup) + 0.5, color=SHADE, lw=0)


def as_svg(figure: Figure, name: str, title: str) -> str:
    """The figure as an `<svg>` element: identifiers of its own, colours of the page's theme."""
    buffer = io.StringIO()
    lay_out(figure)
    figure.savefig(buffer, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = buffer.getvalue()
    text = text[text.index("<svg ") :]
    prefix = re.sub(r"[^a-z0-9]+", "-", name.lower())
    text = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    for role, (light, _) in PALETTE.items():
        text = text.replace(light, f"var(--{role})")
    _, view_box, content = re.split(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', text, maxsplit=1)
    return f'<svg viewBox="{view_box}" role="img" aria-label="{escape(title)}">{content}'
