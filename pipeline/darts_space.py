"""DARTS's space of convolutional cells (arXiv:1806.09055): which two edges enter each node, and what each computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.cells import KINDS, Cell, CellFrame, Edge, Kind, OpenEdge, cell_network, places
from pipeline.chain import check_numbers
from pipeline.genotypes import Genotype
from pipeline.space import NONE, Decision, Rule, SpaceError
from profilers.graph import Graph
from profilers.op_spec import OpSpec
from profilers.shape import Shape

# In the order in which DARTS numbers them.
OPERATIONS = (
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
LABELS = (NONE, *OPERATIONS)
KEPT_EDGES = 2  # into each node


@dataclass(frozen=True, slots=True, kw_only=True)
class DartsCells:
    """Decisions are the edges of the normal cell, then of the reduction cell: `normal.0-2` from state 0 to node 2.

    They are shared by all cells of a kind. `filters` are those of the first cell, `layers` counts cells.
    """

    resolution: int = 32
    channels: int = 3
    classes: int = 10
    filters: int = 16
    layers: int = 8
    nodes: int = 4
    stem_stride: int = 1  # 1: CIFAR's stem, one convolution; 8: ImageNet's, three that halve the image

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.filters % 2:
            raise SpaceError(f"filters={self.filters} must be even: a reduction makes half of them from each half")
        if self.layers < 3:
            raise SpaceError(f"layers={self.layers} must be at least 3: two cells halve the image, the first does not")
        _ = self.frame

    @property
    def frame(self) -> CellFrame:
        image = Shape(self.resolution, self.resolution, self.channels)
        return CellFrame(image, self.filters, self.layers, self.classes, self.stem_stride)

    def edges(self) -> Iterator[tuple[int, int]]:
        """State and node of each edge of a cell, in the order of the rows of DARTS's alpha."""
        return ((state, node) for node in range(2, 2 + self.nodes) for state in range(node))

    def decisions(self) -> tuple[Decision, ...]:
        return tuple(self._decision(kind, state, node) for kind in KINDS for state, node in self.edges())

    def _decision(self, kind: Kind, state: int, node: int) -> Decision:
        cells = [place for place in places(self.frame) if place.kind == kind]
        made = [tuple(OpSpec(*place.edge(operation, state)) for place in cells) for operation in OPERATIONS]
        return Decision(f"{kind}.{state}-{node}", LABELS, ((), *made))

    def open_edges(self, kind: Kind) -> tuple[OpenEdge, ...]:
        """Those of a cell of that kind, node by node."""
        edges = list(self.edges())
        first = KINDS.index(kind) * len(edges)
        return tuple(OpenEdge(first + i, node, (state,) * len(LABELS)) for i, (state, node) in enumerate(edges))

    def rules(self) -> tuple[Rule, ...]:
        """Two edges enter each node."""
        edges = [(kind, node) for kind in KINDS for _, node in self.edges()]
        nodes = dict.fromkeys(edges)
        return tuple(Rule(tuple(i for i, each in enumerate(edges) if each == node), KEPT_EDGES) for node in nodes)

    def graph(self, choices: Sequence[int]) -> Graph:
        genotype = self.genotype(choices)
        return cell_network(self.frame, genotype.normal, genotype.reduce)

    def genotype(self, choices: Sequence[int]) -> Genotype:
        remaining = iter(choices)
        cells = []
        for _ in KINDS:
            nodes: list[list[Edge]] = [[] for _ in range(self.nodes)]
            for state, node in self.edges():
                label = LABELS[next(remaining)]
                if label != NONE:
                    nodes[node - 2].append(Edge(label, state))
            cells.append(Cell(tuple(map(tuple, nodes)), tuple(range(2, 2 + self.nodes))))
        return Genotype(*cells)
