"""The supernet of cells of which one path is computed at a time, as ENAS shares weights (arXiv:1802.03268).

Every label of every edge has weights of its own in every cell. It serves DARTS's cells, where an edge chooses its
operation, and cells of blocks, where it chooses the state that it reads, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from itertools import groupby
from random import Random
from typing import Protocol, cast, runtime_checkable

import torch
from torch import Tensor, nn

from pipeline.architecture import Architecture
from pipeline.cell_supernet.stem import Stem
from pipeline.cells import CellFrame, Kind, OpenEdge, Place, places
from pipeline.graph_space import GraphSpace
from pipeline.space import SearchSpace, SpaceError
from pipeline.supernet import Gates
from profilers.graph_network import GraphNetwork

# What an edge gives: of the place of its decision, the modules of its labels and what each of them reads.
Pick = Callable[[int, nn.ModuleList, Sequence[Tensor]], Tensor]


@runtime_checkable
class CellWiring(Protocol):
    """What a space of cells tells beside what any wiring does, for its paths to be searched."""

    @property
    def frame(self) -> CellFrame: ...

    def open_edges(self, kind: Kind) -> tuple[OpenEdge, ...]:
        """Those of a cell of that kind, in the order of its nodes."""


class Nothing(nn.Module):
    """No edge: zeros, as large as what an edge gives."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


class PathCell(nn.Module):
    """A cell: its two inputs prepared, then nodes that are sums of what their edges give."""

    def __init__(self, inputs: Sequence[nn.Module], edges: Sequence[OpenEdge], labels: Sequence[nn.ModuleList]) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(inputs)
        self.edges = edges
        self.labels = nn.ModuleList(labels)

    def forward(self, before: Tensor, last: Tensor, pick: Pick) -> Tensor:
        """Outputs of the two cells before -> those of all nodes, [N, nodes * C, H', W']."""
        states = [prepare(x) for prepare, x in zip(self.inputs, (before, last), strict=True)]
        for _, entering in groupby(zip(self.edges, self.labels, strict=True), key=lambda pair: pair[0].node):
            given = (
                pick(edge.decision, cast("nn.ModuleList", labels), [states[state] for state in edge.states])
                for edge, labels in entering
            )
            states.append(reduce(torch.add, given))
        return torch.cat(states[2:], dim=1)

    def path(self, choices: Sequence[int]) -> Iterator[nn.Module]:
        """The modules of one path, in order."""
        yield from self.inputs
        for edge, labels in zip(self.edges, self.labels, strict=True):
            chosen = cast("nn.ModuleList", labels)[choices[edge.decision]]
            if not isinstance(chosen, Nothing):
                yield chosen


class CellPaths(nn.Module):
    """All networks of a space of cells in one. Weights are shared by the networks that choose the same label."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        if not (isinstance(space, GraphSpace) and isinstance(space.wiring, CellWiring)):
            raise SpaceError(
                f"space {space.name}: neither a chain nor cells whose open edges are known, of which one path at a "
                "time could be searched; search it with random"
            )
        fixed = {node.name: node.op for node in space.graph(space.random(Random(0))).named}
        self.stem = Stem(space.wiring.frame)
        self.cells = nn.ModuleList()
        earlier: Counter[int] = Counter()  # cells of each decision
        for place in places(space.wiring.frame):
            edges = space.wiring.open_edges(place.kind)
            inputs = [fixed[f"{place.name}.state{state}"].module() for state in (0, 1)]
            labels = [_labels(space, place, edge, earlier[edge.decision]) for edge in edges]
            self.cells.append(PathCell(inputs, edges, labels))
            earlier.update(edge.decision for edge in edges)
        self.classifier = fixed["classifier"].module()

    def forward(self, images: Tensor, choices: Sequence[int]) -> Tensor:
        """Logits of one path: [N, C, H, W] -> [N, classes]. `choices` is one label per decision, whatever the rules."""

        def chosen(decision: int, labels: nn.ModuleList, read: Sequence[Tensor]) -> Tensor:
            choice = choices[decision]
            return labels[choice](read[choice])  # type: ignore[no-any-return]

        return self._logits(images, chosen)

    def forward_gated(self, images: Tensor, gates: Sequence[Gates]) -> Tensor:
        """Logits of the active path, such that the gates of its rivals get their gradients too."""
        return self._logits(images, lambda decision, labels, read: gates[decision].apply(labels, read))

    def derived(self, architecture: Architecture) -> GraphNetwork:
        """The network of an architecture, with a copy of the weights of its path."""
        graph = architecture.graph()
        network = GraphNetwork(graph)
        copies = (module for node, module in zip(graph.nodes, network.operations, strict=True) if node.name)
        for copy, module in zip(copies, self._path(architecture.choices), strict=True):
            copy.load_state_dict(module.state_dict())
        return network

    def _logits(self, images: Tensor, pick: Pick) -> Tensor:
        before, last = self.stem(images)
        for cell in self.cells:
            before, last = last, cell(before, last, pick)
        return self.classifier(last)  # type: ignore[no-any-return]

    def _path(self, choices: Sequence[int]) -> Iterator[nn.Module]:
        yield from self.stem
        for cell in self.cells:
            yield from cast("PathCell", cell).path(choices)
        yield self.classifier


def _labels(space: SearchSpace, place: Place, edge: OpenEdge, earlier: int) -> nn.ModuleList:
    """What each label of an edge computes in a cell, before which so many others share the decision."""
    added = zip(space.decisions[edge.decision].ops, edge.states, strict=True)
    return nn.ModuleList(
        ops[earlier].module() if ops else Nothing(2 if place.kind == "reduce" and state < 2 else 1)
        for ops, state in added
    )
