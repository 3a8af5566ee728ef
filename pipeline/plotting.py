"""How every picture of ours looks: colours, type, the width of a phone."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.transforms import Bbox

from pipeline.report import signed_percent
from profilers.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, FigureBase, SubFigure

# Role -> (colour on white, colour on black). The hues are Okabe and Ito's, which the colour-blind can tell apart.
PALETTE = {
    "ink": ("#1b1f24", "#e8eaed"),
    "muted": ("#59636e", "#a3adb8"),
    "rule": ("#d0d7de", "#3d4650"),
    "shade": ("#eceff3", "#262d36"),
    "predicted": ("#0072b2", "#56b4e9"),
    "measured": ("#d55e00", "#ee9a4d"),
    "accuracy": ("#00805c", "#2fbf94"),
}
INK, MUTED, RULE, SHADE, PREDICTED, MEASURED, ACCURACY = (light for light, _ in PALETTE.values())

# Of things told apart by colour alone, in order: Okabe and Ito's others.
EXPANDS = (PREDICTED, MEASURED, ACCURACY, "#cc79a7", "#e69f00", "#56b4e9")

WIDTH = 5.4  # inches, of 72 units each: 389 units, about the pixels of a phone
STYLE = mpl.RcParams(
    {
        "axes.axisbelow": True,
        "axes.edgecolor": RULE,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.labelcolor": MUTED,
        "axes.labelsize": 10,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 10,
        "figure.constrained_layout.use": True,
        "figure.facecolor": "none",
        "font.family": "sans-serif",
        "font.size": 10,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "legend.fontsize": 10,
        "legend.frameon": False,
        "lines.linewidth": 1.8,
        "lines.markersize": 4,
        "svg.fonttype": "none",
        "svg.hashsalt": "millis",
        "text.color": INK,
        "text.parse_math": False,
        "xtick.color": RULE,
        "xtick.labelcolor": MUTED,
        "xtick.labelsize": 9,
        "ytick.color": RULE,
        "ytick.labelcolor": MUTED,
        "ytick.labelsize": 9,
    }
)


def error_bands(axes: Axes, low: float, high: float) -> None:
    """The diagonal and the bands of 5 % and 10 % about it, named at their lower ends."""
    ends = [low, high]
    for error, colour in ((0.10, SHADE), (0.05, RULE)):
        below, above = ([end * (1 + sign * error) for end in ends] for sign in (-1, 1))
        axes.fill_between(ends, below, above, color=colour, lw=0)
        beside(axes, high * (1 - error), signed_percent(-error, 0))
    axes.plot(ends, ends, color=MUTED, lw=0.8)
    beside(axes, high, "equal")


def beside(axes: Axes, height: float, text: str, colour: str = MUTED) -> None:
    """Text to the right of the axes at a height in data units."""
    units = ("axes fraction", "data")
    axes.annotate(text, (1, height), (5, 0), xycoords=units, textcoords="offset points", color=colour, va="center")


def limits(values: Sequence[float], margin: float = 0.08) -> tuple[float, float]:
    """Both ends with room around them, a fifth of the value where there is only one."""
    low, high = min(values), max(values)
    room = max(margin * (high - low), 0.1 * high)
    return max(0.0, low - room), high + room


def write_picture(figure: Figure, path: Path) -> None:
    """Write a figure on white as .svg or .png; the same figure gives the same bytes."""
    kind = path.suffix.removeprefix(".")
    nothing = ("Creator", "Date", "Format", "Type") if kind == "svg" else ("Software",)
    buffer = io.BytesIO()
    with mpl.rc_context(STYLE):
        lay_out(figure)
        figure.savefig(buffer, format=kind, dpi=200, facecolor="white", metadata=dict.fromkeys(nothing))
    write_atomic(path, buffer.getvalue())


def lay_out(figure: Figure) -> None:
    """Place everything for good, to nine decimals: the solver's last digits differ from run to run."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for part in _parts(figure):
        part.bbox_relative.set_points(part.bbox_relative.get_points().round(9) + 0.0)  # no -0.0
    for axes in figure.axes:
        axes.set_position(Bbox(axes.get_position().get_points().round(9)))


def _parts(figure: FigureBase) -> Iterator[SubFigure]:
    for part in figure.subfigs:
        yield part
        yield from _parts(part)
