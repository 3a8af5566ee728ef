"""The space of cells made of blocks, which NASNet, PNAS, AmoebaNet and ENAS search (arXiv:1712.00559, section 3.1).

A block is a node of exactly two edges, each of which chooses what it computes together with the state that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.cells import KINDS, Cell, CellFrame, Edge, Kind, OpenEdge, cell_network, places
from pipeline.chain import check_least
from pipeline.space import Decision, Rule, SpaceError
from profilers.graph import Graph
from profilers.op_spec import OpSpec
from profilers.shape import Shape

# What edges may compute: PNAS's eight, AmoebaNet's too, and ENAS's five.
OPERATIONS = {
    "pnas": (
        "sep_conv_3x3",
        "sep_conv_5x5",
        "sep_conv_7x7",
        "conv_7x1_1x7",
        "skip_connect",
        "avg_pool_3x3",
        "max_pool_3x3",
        "dil_conv_3x3",
    ),
    "enas": ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect"),
}
SIDES = ("a", "b")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCells:
    """Decisions are the edges: `normal.2a` and `normal.2b` enter node 2, with labels such as `sep_conv_3x3@0`.

    All nodes make up the output of a cell, so that what an edge costs depends on no other. With `kinds` 1 cells that
    halve the image are as the others (PNAS), with 2 they are decided apart. The frame is that of DARTS.
    """

    resolution: int = 32
    channels: int = 3
    classes: int = 10
    filters: int = 24
    layers: int = 8
    nodes: int = 5
    kinds: int = 2
    stem_stride: int = 1
    operations: str = "pnas"

    def __post_init__(self) -> None:
        check_least(self, resolution=1, channels=1, classes=1, filters=2, layers=3, nodes=1)
        if self.kinds not in {1, 2}:
            raise SpaceError(f"kinds={self.kinds} must be 1 or 2")
        if self.operations not in OPERATIONS:
            raise SpaceError(f"operations={self.operations} must be one of {', '.join(OPERATIONS)}")
        _ = self.frame

    @property
    def frame(self) -> CellFrame:
        image = Shape(self.resolution, self.resolution, self.channels)
        return CellFrame(image, self.filters, self.layers, self.classes, self.stem_stride)

    @property
    def cells(self) -> dict[str, tuple[Kind, ...]]:
        """The cells that are decided, and the kinds that each of them stands for."""
        return {"cell": KINDS} if self.kinds == 1 else {kind: (kind,) for kind in KINDS}

    def edges(self, node: int) -> list[Edge]:
        """What an edge into the node may be, in the order of its labels."""
        return [Edge(operation, state) for state in range(node) for operation in OPERATIONS[self.operations]]

    def decisions(self) -> tuple[Decision, ...]:
        return tuple(
            self._decision(f"{cell}.{node}{side}", node, kinds)
            for cell, kinds in self.cells.items()
            for node in range(2, 2 + self.nodes)
            for side in SIDES
        )

    def _decision(self, name: str, node: int, kinds: Sequence[Kind]) -> Decision:
        cells = [place for place in places(self.frame) if place.kind in kinds]
        edges = self.edges(node)
        added = tuple(tuple(OpSpec(*place.edge(*edge)) for place in cells) for edge in edges)
        return Decision(name, tuple(f"{operation}@{state}" for operation, state in edges), added)

    def open_edges(self, kind: Kind) -> tuple[OpenEdge, ...]:
        """Those of a cell of that kind, node by node."""
        cell = next(place for place, kinds in enumerate(self.cells.values()) if kind in kinds)
        entered = [node for node in range(2, 2 + self.nodes) for _ in SIDES]
        return tuple(
            OpenEdge(cell * len(entered) + place, node, tuple(edge.state for edge in self.edges(node)))
            for place, node in enumerate(entered)
        )

    def rules(self) -> tuple[Rule, ...]:
        return ()

    def graph(self, choices: Sequence[int]) -> Graph:
        remaining = iter(choices)
        made: dict[Kind, Cell] = {}
        for kinds in self.cells.values():
            cell = Cell(tuple(self._nodes(remaining)), tuple(range(2, 2 + self.nodes)))
            made |= dict.fromkeys(kinds, cell)
        return cell_network(self.frame, made["normal"], made["reduce"])

    def _nodes(self, choices: Iterator[int]) -> Iterator[tuple[Edge, ...]]:
        for node in range(2, 2 + self.nodes):
            edges = self.edges(node)
            yield tuple(edges[next(choices)] for _ in SIDES)
