from __future__ import annotations

from collections import Counter
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.architecture import Architecture
from pipeline.block_space import BlockCells
from pipeline.graph_space import GraphSpace
from pipeline.profiling import network_name, network_named
from pipeline.space import SpaceError

PNAS = GraphSpace("pnas", BlockCells(filters=4, layers=4, resolution=8, kinds=1))
ENAS = GraphSpace("enas", BlockCells(filters=4, layers=4, resolution=8, operations="enas"))


def test_cells_of_blocks_are_as_many_as_pnas_counts() -> None:
    one_block = GraphSpace("one", BlockCells(kinds=1, nodes=1))
    assert one_block.size == 256
    assert [len(decision.labels) ** 2 for decision in PNAS.decisions[::2]] == [256, 576, 1024, 1600, 2304]
    assert PNAS.size == 256 * 576 * 1024 * 1600 * 2304
    assert len(ENAS.decisions) == 20


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.sampled_from([PNAS, ENAS]))
def test_a_network_of_blocks_is_what_is_fixed_and_what_was_chosen(seed: int, space: GraphSpace) -> None:
    network = Architecture.random(space, Random(seed))
    decided = zip(space.decisions, network.choices, strict=True)
    added = [op for decision, choice in decided for op in decision.ops[choice]]
    assert Counter(network.graph().ops()) == Counter(network.ops()) == Counter([*space.fixed, *added])
    assert network_named(network_name(network), space) == network


@torch.no_grad()
def test_a_network_of_blocks_gives_logits() -> None:
    for space in (PNAS, ENAS):
        network = Architecture.random(space, Random(0))
        module = network.graph().module().eval()
        assert module(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
        assert sum(parameter.numel() for parameter in module.parameters()) == network.params


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": 3}, "kinds=3 must be 1 or 2"),
        ({"operations": "all"}, "operations=all must be one of pnas, enas"),
        ({"nodes": 0}, "nodes=0 must be from 1 to"),
    ],
)
def test_options_that_make_no_space_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        BlockCells(**options)  # type: ignore[arg-type]
