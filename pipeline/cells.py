"""Networks of repeated cells, as DARTS builds them (arXiv:1806.09055): normal cells, and two that halve the image.

A cell reads the outputs of the two before it, states 0 and 1. Each of its nodes is the sum of what operations make of
earlier states, and the output is the concatenation of nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pipeline.space import SpaceError
from profilers.cell_ops import (
    Add,
    AvgPool,
    Concat,
    Conv7x1,
    DilConv,
    MaxPool,
    Reduce,
    ReLUConv,
    SepConv,
)
from profilers.graph import INPUT, Drawing, Graph
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity
from profilers.shape import Shape

Kind = Literal["normal", "reduce"]
KINDS: tuple[Kind, ...] = ("normal", "reduce")


def _skip(channels: int, stride: int) -> Operation:
    return Identity() if stride == 1 else Reduce(channels)


# What an edge may compute, by DARTS's names: channels and stride -> operation.
EDGE_OPERATIONS: dict[str, Callable[[int, int], Operation]] = {
    "max_pool_3x3": lambda _, stride: MaxPool(3, stride),
    "avg_pool_3x3": lambda _, stride: AvgPool(3, stride),
    "skip_connect": _skip,
    "sep_conv_3x3": lambda channels, stride: SepConv(channels, 3, stride),
    "sep_conv_5x5": lambda channels, stride: SepConv(channels, 5, stride),
    "sep_conv_7x7": lambda channels, stride: SepConv(channels, 7, stride),
    "dil_conv_3x3": lambda channels, stride: DilConv(channels, 3, stride),
    "dil_conv_5x5": lambda channels, stride: DilConv(channels, 5, stride),
    "conv_7x1_1x7": Conv7x1,
}


class Edge(NamedTuple):
    """An operation and the state that it reads."""

    operation: str
    state: int


class OpenEdge(NamedTuple):
    """An edge into `node` that a decision leaves open, and the state that each of its labels reads."""

    decision: int  # its place among those of the space
    node: int  # 2 is the first
    states: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """The edges into each node, and the states that make up the output."""

    nodes: tuple[tuple[Edge, ...], ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for place, edges in enumerate(self.nodes, start=2):
            for operation, state in edges:
                if operation not in EDGE_OPERATIONS:
                    raise SpaceError(
                        f"node {place}: no operation {operation!r}; there are {', '.join(EDGE_OPERATIONS)}"
                    )
                if not 0 <= state < place:
                    raise SpaceError(f"node {place}: reads state {state}; there are 0 to {place - 1}")
            if not edges:
                raise SpaceError(f"node {place}: reads nothing")
        if not self.concat or not all(0 <= state < 2 + len(self.nodes) for state in self.concat):
            raise SpaceError(f"concat {list(self.concat)}: give states from 0 to {1 + len(self.nodes)}, one at least")


@dataclass(frozen=True, slots=True)
class CellFrame:
    """What is around the cells: image, widths, depth, classes. Stem stride 1 is CIFAR's stem, 8 is ImageNet's."""

    image: Shape
    filters: int
    layers: int
    classes: int
    stem_stride: int = 1

    def __post_init__(self) -> None:
        if self.stem_stride not in {1, 8}:
            raise SpaceError(f"stem_stride={self.stem_stride} must be 1, as for CIFAR, or 8, as for ImageNet")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Of each cell: those after a third and after two thirds of them halve the image and double the filters."""
        reductions = {self.layers // 3, 2 * self.layers // 3}
        return tuple("reduce" if place in reductions else "normal" for place in range(self.layers))

    def draw_stem(self, drawing: Drawing) -> tuple[int, int]:
        """The nodes that the first cell reads, as states 0 and 1."""
        if self.stem_stride == 1:
            stem = drawing.add(Conv(3 * self.filters, kernel=3, act="none"), INPUT, name="stem")
            return stem, stem
        half = drawing.add(Conv(self.filters // 2, kernel=3, stride=2, act="relu"), INPUT, name="stem0")
        before = drawing.add(Conv(self.filters, kernel=3, stride=2, act="none"), half, name="stem1")
        return before, drawing.add(ReLUConv(self.filters, kernel=3, stride=2), before, name="stem2")


@dataclass(frozen=True, slots=True)
class Place:
    """A cell in a network: its kind, its filters, and the size of its input states once they were prepared."""

    name: str
    kind: Kind
    filters: int
    in_size: tuple[int, int]

    def edge(self, operation: str, state: int) -> tuple[Operation, Shape]:
        """What the edge computes there, and on what."""
        strided = self.kind == "reduce" and state < 2
        shape = Shape(*self.in_size, self.filters)
        made = EDGE_OPERATIONS[operation](self.filters, 2 if strided else 1)
        return made, shape.strided(2) if self.kind == "reduce" and not strided else shape


def places(frame: CellFrame) -> Iterator[Place]:
    """The cells from first to last."""
    drawing = Drawing(frame.image)
    _, last = frame.draw_stem(drawing)
    size, filters = drawing.shape(last)[:2], frame.filters
    for number, kind in enumerate(frame.kinds):
        filters *= 2 if kind == "reduce" else 1
        yield Place(f"cell{number}", kind, filters, size)
        size = Shape(*size, 1).strided(2)[:2] if kind == "reduce" else size


def cell_network(frame: CellFrame, normal: Cell, reduce: Cell) -> Graph:
    """The network of two cells; raises SpaceError where sizes do not fit together."""
    drawing = Drawing(frame.image)
    before, last = frame.draw_stem(drawing)
    for place in places(frame):
        cell = reduce if place.kind == "reduce" else normal
        before, last = last, _draw_cell(drawing, place, cell, before, last)
    drawing.add(Classifier(frame.classes), last, name="classifier")
    return drawing.graph()


def _draw_cell(drawing: Drawing, place: Place, cell: Cell, before: int, last: int) -> int:
    reduced = drawing.shape(before)[:2] != drawing.shape(last)[:2]
    prepare = Reduce(place.filters) if reduced else ReLUConv(place.filters)
    states = [
        drawing.add(prepare, before, name=f"{place.name}.state0"),
        drawing.add(ReLUConv(place.filters), last, name=f"{place.name}.state1"),
    ]
    for edges in cell.nodes:
        states.append(_draw_node(drawing, place, edges, states))
    return drawing.add(Concat(), *(states[state] for state in cell.concat))


def _draw_node(drawing: Drawing, place: Place, edges: Sequence[Edge], states: Sequence[int]) -> int:
    terms = []
    for operation, state in edges:
        made, _ = place.edge(operation, state)
        terms.append(drawing.add(made, states[state], name=f"{place.name}.{state}-{len(states)}"))
    return drawing.add(Add(), *terms) if len(terms) > 1 else terms[0]
