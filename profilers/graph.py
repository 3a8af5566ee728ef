"""A network as a value: operations and what each of them reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from profilers.op_spec import OpSpec
from profilers.operation import Operation, require
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn

INPUT = -1  # in place of a node: the input of the network


@dataclass(frozen=True, slots=True)
class Node:
    """One operation and the earlier nodes that it reads, INPUT for the network's input; `name` is for people."""

    op: OpSpec
    inputs: tuple[int, ...] = (INPUT,)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in an order in which they can be computed; the last one is the output."""

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        require(bool(self.nodes), "a graph has at least one node")
        for place, node in enumerate(self.nodes):
            if not node.inputs or not all(INPUT <= each < place for each in node.inputs):
                raise ValueError(f"node {place}, {node.op}: reads {node.inputs}, not earlier nodes")
            shapes = [self.in_shape if each == INPUT else self.nodes[each].op.out_shape for each in node.inputs]
            if in_shape_of(node.op.operation, shapes) != node.op.in_shape:
                raise ValueError(f"node {place}, {node.op}: is given {', '.join(map(str, shapes))}")

    @staticmethod
    def chain(ops: Iterable[OpSpec], names: Iterable[str] = ()) -> Graph:
        """Every operation reads the one before it."""
        named = [*names]
        return Graph(
            tuple(Node(op, (i - 1,), named[i] if named else "") for i, op in enumerate(ops)),
        )

    @property
    def is_chain(self) -> bool:
        return all(node.inputs == (place - 1,) for place, node in enumerate(self.nodes))

    @property
    def in_shape(self) -> Shape:
        """Of the network's input; the first node reads nothing else."""
        return self.nodes[0].op.in_shape

    @property
    def out_shape(self) -> Shape:
        return self.nodes[-1].op.out_shape

    @property
    def named(self) -> tuple[Node, ...]:
        """The nodes that have a name; what only joins others has none."""
        return tuple(node for node in self.nodes if node.name)

    def ops(self) -> tuple[OpSpec, ...]:
        """The operations in order, free ones included."""
        return tuple(node.op for node in self.nodes)

    @property
    def macs(self) -> int:
        return sum(node.op.macs for node in self.nodes)

    @property
    def params(self) -> int:
        return sum(node.op.params for node in self.nodes)

    def module(self) -> nn.Module:
        """The network with new weights: [N, C, H, W] -> [N, C', H', W'], or logits after a classifier."""
        if self.is_chain:
            from profilers.blocks import build_chain

            return build_chain(self.ops())
        from profilers.graph_network import GraphNetwork

        return GraphNetwork(self)


def in_shape_of(operation: Operation, shapes: Sequence[Shape]) -> Shape:
    """The input shape of an operation that reads tensors of these shapes; raises ValueError where they do not fit."""
    join: Callable[[Sequence[Shape]], Shape] | None = getattr(operation, "join", None)
    if join is not None:
        return join(shapes)
    require(len(shapes) == 1, f"{type(operation).__name__} takes one input, not {len(shapes)}")
    return shapes[0]


@dataclass(slots=True)
class Drawing:
    """A graph in the making: each step reads earlier ones, and its input shape is what they give."""

    in_shape: Shape
    nodes: list[Node] = field(default_factory=list)

    def add(self, operation: Operation, *inputs: int, name: str = "") -> int:
        """Draw an operation that reads these nodes; its own place."""
        shape = in_shape_of(operation, [self.shape(each) for each in inputs])
        self.nodes.append(Node(OpSpec(operation, shape), inputs, name))
        return len(self.nodes) - 1

    def chain(self, operations: Sequence[Operation], start: int, name: str = "") -> int:
        """Draw operations one after another, the first reading `start`; the place of the last."""
        for operation in operations:
            start = self.add(operation, start, name=name)
        return start

    def shape(self, node: int) -> Shape:
        """What a node gives."""
        return self.in_shape if node == INPUT else self.nodes[node].op.out_shape

    def graph(self) -> Graph:
        return Graph(tuple(self.nodes))
