"""Networks of given cells in the frame of NASNet, which PNASNet and AmoebaNet share: nothing is left to decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from pipeline.cells import Cell
from pipeline.chain import check_least
from pipeline.genotype_network import genotype_named
from pipeline.genotypes import Genotype
from pipeline.space import Decision, Rule, SpaceError
from profilers.cell_ops import Add, AvgPool, Concat, MaxPool, Reduce, ReLUConv, SepConv
from profilers.graph import INPUT, Drawing, Graph
from profilers.nasnet_ops import Oblong, Relu, ValidConv
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity
from profilers.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class NasnetNetwork:
    """NASNet-A for phones, 4 @ 1056, by default (arXiv:1707.07012).

    Two stem cells halve the image, with a quarter and half of the filters; without them, as for CIFAR, the first
    convolution keeps its size. `layers` normal cells follow in three groups, before the second and the third of which a
    reduction cell halves the image and doubles the filters: a cell more, or with `in_place` 1 the first of the group.
    `based` 1 is ENAS's (arXiv:1802.03268): two 1x1 convolutions before the nearer input, and both inputs of the first
    cell prepared.
    """

    cells: str = "nasnet-a"  # a name, or the JSON of a genotype
    resolution: int = 224
    channels: int = 3
    classes: int = 1000
    filters: int = 44
    layers: int = 12
    stem: int = 32
    stem_cells: int = 2
    in_place: int = 0
    based: int = 0

    def __post_init__(self) -> None:
        check_least(self, resolution=3, channels=1, classes=1, filters=4, layers=3, stem=1)
        if self.stem_cells not in {0, 2}:
            raise SpaceError(f"stem_cells={self.stem_cells} must be 0, as for CIFAR, or 2, as for ImageNet")
        for name in ("in_place", "based"):
            if getattr(self, name) not in {0, 1}:
                raise SpaceError(f"{name}={getattr(self, name)} must be 0 or 1")
        genotype = genotype_named(self.cells)
        for name, _ in chain.from_iterable((*genotype.normal.nodes, *genotype.reduce.nodes)):
            edge(name, self.filters, self.filters, stride=1)

    def decisions(self) -> tuple[Decision, ...]:
        return ()

    def rules(self) -> tuple[Rule, ...]:
        return ()

    def graph(self, choices: Sequence[int]) -> Graph:
        genotype = genotype_named(self.cells)
        drawing = Drawing(Shape(self.resolution, self.resolution, self.channels))
        first: Operation = ValidConv(self.stem) if self.stem_cells else Conv(self.stem, kernel=3, act="none")
        outputs = [INPUT, drawing.add(first, INPUT, name="stem")]
        for number, (reduces, filters) in enumerate(self._cells()):
            before = outputs[-2] if number else outputs[-1]
            cell = _CellDrawing(drawing, f"cell{number}", filters, reduces, bool(self.based))
            outputs.append(cell.draw(genotype, before, outputs[-1]))
        features = drawing.add(Relu(), outputs[-1])
        drawing.add(Classifier(self.classes), features, name="classifier")
        return drawing.graph()

    def _cells(self) -> Iterator[tuple[bool, int]]:
        """Of each cell whether it reduces, and its filters."""
        for halvings in range(self.stem_cells, 0, -1):
            yield True, self.filters // 2**halvings
        filters = self.filters
        for number in range(self.layers):
            reduces = number in {self.layers // 3, 2 * self.layers // 3}
            if reduces:
                filters *= 2
                yield True, filters
            if not (reduces and self.in_place):
                yield False, filters


@dataclass(frozen=True, slots=True)
class _CellDrawing:
    """One cell in the making."""

    drawing: Drawing
    name: str
    filters: int
    reduces: bool
    based: bool

    def draw(self, genotype: Genotype, before: int, last: int) -> int:
        cell = genotype.reduce if self.reduces else genotype.normal
        # The first cell of all reads one input twice, and takes it as it is the second time; ENAS's does not.
        as_it_is = before == last and not self.based
        convs = [ReLUConv(self.filters)] * (2 if self.based else 1)
        states = [before if as_it_is else self._prepared(before, last), self._add(convs, last)]
        for edges in cell.nodes:
            terms = [self._edge(operation, states[state], state) for operation, state in edges]
            states.append(self.drawing.add(Add(), *terms, name=self.name))
        return self.drawing.add(Concat(), *self._joined(cell, states), name=self.name)

    def _prepared(self, before: int, last: int) -> int:
        before_shape, shape = self.drawing.shape(before), self.drawing.shape(last)
        if before_shape[:2] != shape[:2]:
            return self._add([Reduce(self.filters)], before)
        return before if before_shape.channels == self.filters else self._add([ReLUConv(self.filters)], before)

    def _edge(self, operation: str, node: int, state: int) -> int:
        stride = 2 if self.reduces and state < 2 else 1
        return self._add(edge(operation, self.drawing.shape(node).channels, self.filters, stride), node)

    def _joined(self, cell: Cell, states: Sequence[int]) -> Iterator[int]:
        for state in cell.concat:
            fits = self.drawing.shape(states[state]).channels == self.filters
            yield states[state] if fits else self._add([Conv(self.filters, act="none")], states[state])

    def _add(self, operations: Sequence[Operation], node: int) -> int:
        return self.drawing.chain(operations, node, name=self.name)


def edge(name: str, channels: int, filters: int, stride: int) -> list[Operation]:
    """What an edge is made of, here with channels that may change and bottlenecks of a quarter of the filters.

    Raises SpaceError for an operation that none of these networks has.
    """
    changes = channels != filters
    kind, _, size = name.partition("_conv_")
    if kind == "sep":
        return [SepConv(filters, int(size[0]), stride)]
    if name == "skip_connect":
        return [ReLUConv(filters, stride=stride)] if changes or stride > 1 else [Identity()]
    if name in {"max_pool_3x3", "avg_pool_3x3"}:
        pool: Operation = (MaxPool if name == "max_pool_3x3" else AvgPool)(3, stride)
        return [pool, Conv(filters, act="none")] if changes else [pool]
    if name == "conv_7x1_1x7":
        narrow = max(1, filters // 4)
        middle: list[Operation] = [Oblong(narrow, 7, stride, "row"), Oblong(narrow, 7, stride, "column")]
        return [ReLUConv(narrow), *middle, ReLUConv(filters)]
    raise SpaceError(f"operation {name} has no place in NASNet's frame")
