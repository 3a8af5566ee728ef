"""The pictures of a language run's report, in the manner of the others."""

from __future__ import annotations

from math import exp

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.pictures import as_svg
from pipeline.plotting import EXPANDS, PREDICTED, RULE, SHADE, STYLE, WIDTH
from pipeline.recurrent.genotype import Genotype
from pipeline.recurrent.report import LanguageReport


def cell(genotype: Genotype) -> str:
    """The tree of a cell, each node behind the state that it reads; those that are averaged have an edge."""
    places = _tree(genotype)
    rows = 1 + max(row for _, row in places)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.4 + 0.4 * rows))
        axes = figure.add_subplot()
        axes.set_axis_off()
        axes.margins(0.14, 0.2)
        for number, node in enumerate(genotype.nodes, 1):
            axes.plot(*zip(places[node.reads], places[number], strict=True), color=RULE, zorder=1)
        for number, place in enumerate(places):
            name = "entry" if number == 0 else f"{number} {genotype.nodes[number - 1].act}"
            edge = PREDICTED if number in genotype.concat else SHADE
            box = {"boxstyle": "round,pad=0.4", "facecolor": SHADE, "edgecolor": edge}
            axes.annotate(name, place, ha="center", va="center", bbox=box, size=9)
        axes.invert_yaxis()
        return as_svg(figure, "cell", f"The cell {genotype}")


def _tree(genotype: Genotype) -> list[tuple[float, float]]:
    """Of the entry and each node: how far from the entry, and its row. What nobody reads has a row of its own."""
    depth = [0]
    for node in genotype.nodes:
        depth.append(depth[node.reads] + 1)
    rows: dict[int, float] = {}
    leaves = iter(range(len(depth)))

    def lay(number: int) -> float:
        readers = [i for i, node in enumerate(genotype.nodes, 1) if node.reads == number]
        below = [lay(reader) for reader in readers]
        rows[number] = (below[0] + below[-1]) / 2 if below else float(next(leaves))
        return rows[number]

    lay(0)
    return [(float(far), rows[number]) for number, far in enumerate(depth)]


def training_curves(report: LanguageReport) -> str:
    """Perplexity of the validation text over the seconds that each model was trained for."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.2))
        axes = figure.add_subplot(xlabel="seconds of training", title="perplexity of the validation text")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8))
        for model, colour in zip(report.models, EXPANDS, strict=False):
            points = [(each.seconds, exp(each.validation_loss)) for each in model.evaluations]
            axes.plot(*zip(*points, strict=True), marker=".", color=colour, label=model.cell)
        figure.legend(loc="outside upper left", ncols=3)
        return as_svg(figure, "training", "Validation perplexity over the training")
