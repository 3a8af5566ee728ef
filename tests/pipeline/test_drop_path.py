from __future__ import annotations

import pytest
import torch

from pipeline.data.seeding import generator
from pipeline.drop_path import drop_path, dropped_paths, paths
from profilers.blocks import build_chain
from profilers.cell_ops import Add, AvgPool, ReLUConv
from profilers.graph import INPUT, Drawing
from profilers.graph_network import GraphNetwork
from profilers.op_spec import OpSpec
from profilers.operations import Identity
from profilers.shape import Shape


@pytest.fixture
def network() -> GraphNetwork:
    """The sum of a convolution, a pool and the input itself."""
    drawing = Drawing(Shape(4, 4, 2))
    terms = [drawing.add(operation, INPUT) for operation in (ReLUConv(2), AvgPool(), Identity())]
    drawing.add(Add(), *terms)
    module = drawing.graph().module()
    assert isinstance(module, GraphNetwork)
    return module


def test_the_mean_of_what_is_kept_is_what_it_was() -> None:
    x = torch.full((20_000, 1, 1, 1), 3.0)
    dropped = drop_path(x, 0.3, generator(0))
    assert dropped.mean().item() == pytest.approx(3.0, abs=5 * 3.0 * (0.3 / 0.7 / 20_000) ** 0.5)
    assert (dropped == 0).double().mean().item() == pytest.approx(0.3, abs=0.02)


def test_an_image_is_dropped_whole_and_on_its_own() -> None:
    dropped = drop_path(torch.ones(50, 3, 4, 4), 0.5, generator(0)).flatten(1)
    assert ((dropped == 0).all(1) | (dropped == 2).all(1)).all()
    assert 0 < (dropped == 0).all(1).sum() < 50


@torch.no_grad()
def test_an_identity_is_never_dropped(network: GraphNetwork) -> None:
    assert paths(network) == [network.operations[0], network.operations[1]]
    x = torch.randn(64, 2, 4, 4)
    with dropped_paths(network.train(), 1 - 1e-9, generator(0)):
        torch.testing.assert_close(network(x), x)


@torch.no_grad()
def test_nothing_is_dropped_in_evaluation_nor_afterwards(network: GraphNetwork) -> None:
    x = torch.randn(64, 2, 4, 4)
    expected = network.eval()(x)
    with dropped_paths(network, 0.9, generator(0)):
        torch.testing.assert_close(network(x), expected, rtol=0, atol=0)
    with dropped_paths(network, 0.9, generator(0)):
        assert not torch.equal(network.train()(x), expected)
    assert not any(module._forward_hooks for module in network.modules())


def test_the_same_seed_drops_the_same_paths(network: GraphNetwork) -> None:
    x = torch.randn(8, 2, 4, 4)
    found = []
    for _ in range(2):
        with dropped_paths(network.train(), 0.5, generator(7)):
            found.append(network(x))
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_a_chain_has_no_paths_to_drop() -> None:
    chain = build_chain((OpSpec.parse("mbconv in=8x8x8 out=8"),))
    assert paths(chain) == []
    with dropped_paths(chain, 0.5, generator(0)):
        assert not any(module._forward_hooks for module in chain.modules())


def test_probability_zero_leaves_a_network_alone(network: GraphNetwork) -> None:
    with dropped_paths(network, 0.0, generator(0)):
        assert not any(module._forward_hooks for module in network.modules())
