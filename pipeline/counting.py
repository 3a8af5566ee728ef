"""What networks count, in all and in their parts, beside what their authors print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.published import PUBLISHED, Figure, PublishedNetwork, load_network
from profilers.graph import Node
from profilers.shape import Shape

CONVENTION = {
    "parameters": "every trainable scalar, batch normalisation's included; no auxiliary head",
    "MACs": "multiply-accumulates of convolutions and linear layers, squeeze-excite's included, for one image or token",
}


@dataclass(frozen=True, slots=True)
class Part:
    """Operations of a network that belong together; free ones, which leave no kernel, are not among them."""

    name: str
    operations: int
    params: int
    macs: int


@dataclass(frozen=True, slots=True)
class Count:
    """A number of a network, and the one that its authors print."""

    what: str
    count: int
    figure: Figure | None

    @property
    def agrees(self) -> bool | None:
        """None where nothing was published."""
        return None if self.figure is None else self.figure.agrees(self.count)


@dataclass(frozen=True, slots=True)
class Counted:
    """A network and what its nodes count; `published` where it was asked for by that name."""

    name: str
    space: str
    nodes: tuple[Node, ...]
    published: PublishedNetwork | None

    @property
    def input_shape(self) -> Shape:
        return self.nodes[0].op.in_shape

    @property
    def params(self) -> Count:
        figure = self.published.params if self.published else None
        return Count("parameters", sum(node.op.params for node in self.nodes), figure)

    @property
    def macs(self) -> Count:
        figure = self.published.macs if self.published else None
        return Count("MACs", sum(node.op.macs for node in self.nodes), figure)

    def stages(self) -> tuple[Part, ...]:
        """By what stands before the first dot of the names of the nodes, in their order."""
        return self._parts(lambda node: node.name.partition(".")[0])

    def kinds(self) -> tuple[Part, ...]:
        """By kind of operation, the most MACs first."""
        return tuple(sorted(self._parts(lambda node: node.op.kind), key=lambda part: -part.macs))

    def _parts(self, name_of: Callable[[Node], str]) -> tuple[Part, ...]:
        named: dict[str, list[Node]] = {}
        for node in self.nodes:
            if not node.op.free:
                named.setdefault(name_of(node), []).append(node)
        return tuple(_part(name, nodes) for name, nodes in named.items())


def count_network(name_or_file: str) -> Counted:
    """Count a published network or an architecture file; raises as `load_network` does."""
    architecture = load_network(name_or_file)
    nodes = architecture.graph().nodes
    return Counted(name_or_file, architecture.space.name, nodes, PUBLISHED.get(name_or_file))


def _part(name: str, nodes: Sequence[Node]) -> Part:
    return Part(name, len(nodes), sum(node.op.params for node in nodes), sum(node.op.macs for node in nodes))
