"""A graph of operations as a module."""

from __future__ import annotations

from torch import Tensor, nn

from profilers.graph import Graph


class GraphNetwork(nn.Module):
    """[N, C, H, W] -> what the last node gives. `operations` are the modules of the graph's nodes, in order."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.operations = nn.ModuleList(node.op.module() for node in graph.nodes)
        self.inputs = tuple(node.inputs for node in graph.nodes)

    def forward(self, x: Tensor) -> Tensor:
        given = {-1: x}
        for place, (operation, inputs) in enumerate(zip(self.operations, self.inputs, strict=True)):
            given[place] = operation(*(given[each] for each in inputs))
        return given[len(self.inputs) - 1]
