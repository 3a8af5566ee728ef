from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from profilers.blocks import folded
from profilers.cell_ops import Add, AvgPool, Concat, MaxPool, Reduce, ReLUConv, SepConv
from profilers.graph import INPUT, Drawing, Graph, Node
from profilers.op_spec import OpSpec
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity
from profilers.shape import Shape

CHAIN = tuple(map(OpSpec.parse, ("conv in=8x8x3 out=8", "identity in=8x8x8", "classifier in=8x8x8 out=10")))


def diamond() -> Graph:
    drawing = Drawing(Shape(7, 7, 3))
    stem = drawing.add(Conv(8, kernel=3), INPUT, name="stem")
    halves = [drawing.add(operation, stem) for operation in (Reduce(8), SepConv(8, stride=2), MaxPool(3, 2))]
    total = drawing.add(Add(), *halves)
    joined = drawing.add(Concat(), total, drawing.add(AvgPool(), total), drawing.add(Identity(), total))
    drawing.add(Classifier(5), joined)
    return drawing.graph()


def test_a_chain_is_a_graph_and_compiles_as_it_always_did() -> None:
    graph = Graph.chain(CHAIN)
    assert graph.is_chain
    assert graph.ops() == CHAIN
    assert [type(module) for module in graph.module().children()] == [nn.Sequential, type(CHAIN[2].module())]


def test_what_is_drawn_knows_its_shapes() -> None:
    graph = diamond()
    assert not graph.is_chain
    assert (graph.in_shape, graph.out_shape) == (Shape(7, 7, 3), Shape(1, 1, 5))
    assert str(graph.nodes[-2].op) == "concat in=4x4x24"


@torch.no_grad()
def test_the_module_wires_what_the_graph_says() -> None:
    graph, x = diamond(), torch.randn(2, 3, 7, 7)
    network = graph.module().eval()
    stem, reduce, sep, pool, _, mean, _, _, classifier = network.operations  # type: ignore[misc]
    state = stem(x)
    total = reduce(state) + sep(state) + pool(state)
    torch.testing.assert_close(network(x), classifier(torch.cat([total, mean(total), total], 1)))


def test_params_are_the_trainable_scalars_of_the_module() -> None:
    assert diamond().params == sum(parameter.numel() for parameter in diamond().module().parameters())


@torch.no_grad()
def test_a_graph_is_folded_whole() -> None:
    network, x = diamond().module().eval(), torch.randn(2, 3, 7, 7)
    torch.testing.assert_close(folded(network)(x), network(x))
    assert not any(isinstance(child, nn.BatchNorm2d) for child in folded(network).modules())


CANDIDATES: list[Operation] = [Identity(), ReLUConv(4), SepConv(4, 3, 2), AvgPool(3, 1), Reduce(4)]


@given(st.data())
@torch.no_grad()
def test_any_graph_gives_the_shape_that_it_promises(data: st.DataObject) -> None:
    drawing = Drawing(Shape(6, 5, 4))
    for place in range(data.draw(st.integers(1, 5))):
        operation: Operation = data.draw(st.sampled_from(CANDIDATES))
        drawing.add(operation, data.draw(st.integers(INPUT, place - 1)))
    graph = drawing.graph()
    if graph.nodes[0].inputs == (INPUT,):
        height, width, channels = graph.out_shape
        assert graph.module().eval()(torch.zeros(1, 4, 6, 5)).shape == (1, channels, height, width)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([], "at least one node"),
        ([Node(CHAIN[0], (0,))], r"reads \(0,\), not earlier nodes"),
        ([Node(CHAIN[0], ())], r"reads \(\), not earlier nodes"),
        ([Node(CHAIN[0]), Node(CHAIN[0], (0,))], "is given 8x8x8"),
        ([Node(CHAIN[0]), Node(CHAIN[1], (0, 0))], "Identity takes one input, not 2"),
        ([Node(CHAIN[0]), Node(OpSpec(Add(), Shape(8, 8, 8)), (0, -1))], "add: its inputs differ in shape"),
    ],
)
def test_nodes_that_do_not_fit_are_refused(nodes: list[Node], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Graph(tuple(nodes))
