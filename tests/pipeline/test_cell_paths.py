"""One path at a time through cells: DARTS's, and blocks, whose edges choose a state, too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
import torch
from torch import Tensor, nn

from pipeline.alpha import Alpha
from pipeline.architecture import Architecture
from pipeline.cell_paths import CellPaths, Nothing, PathCell
from pipeline.data import Data
from pipeline.data.seeding import generator
from pipeline.gates import sample_gates
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchEpoch, SearchTask
from pipeline.space import NONE, SearchSpace, SpaceError
from pipeline.spaces import parse_space
from pipeline.strategies.darts import begin as begin_darts
from pipeline.strategies.proxyless import STRATEGY, Proxyless
from pipeline.supernet import Gates, frozen_statistics
from tests.pipeline.searches import TaskOf, between, few, flat, left_by, quiet, stopped_after

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

SMALL = "channels=1&filters=4&nodes=2&resolution"
SPACES = {
    "cells of both kinds": parse_space(f"blocks-cifar?{SMALL}=8&layers=3&operations=enas"),
    "cells of one kind": parse_space(f"blocks-cifar?{SMALL}=8&layers=3&kinds=1"),
    "ImageNet's stem": parse_space(f"blocks-cifar?{SMALL}=64&layers=3&operations=enas&stem_stride=8"),
    "DARTS": parse_space(f"darts-cifar?{SMALL}=8&layers=4"),
}
BLOCKS = SPACES["cells of both kinds"]


def tracked(space: SearchSpace) -> CellPaths:
    """A supernet with batch statistics that are not the initial ones."""
    torch.manual_seed(0)
    paths = CellPaths(space)
    for seed in range(8):
        paths(images_for(space, seed), space.random(Random(seed)))
    return paths


def images_for(space: SearchSpace, seed: int) -> Tensor:
    height, width, channels = space.input_shape
    return torch.randn(6, channels, height, width, generator=generator(seed))


@torch.no_grad()
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_one_path_gives_what_the_derived_network_gives(space: SearchSpace) -> None:
    paths = tracked(space).eval()
    images = images_for(space, 1)
    for seed in range(20, 26):
        network = Architecture.random(space, Random(seed))
        derived = paths.derived(network).eval()
        torch.testing.assert_close(derived(images), paths(images, network.choices))
        assert sum(weight.numel() for weight in derived.parameters()) == network.params


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_gate_gradients_are_those_of_a_weighted_sum_of_what_each_label_gives(space: SearchSpace) -> None:
    """Labels read different states, and cells of a kind share their gates."""
    paths = tracked(space).double().eval()
    images = images_for(space, 1).double()
    sample = sample_gates(Alpha.initial(space, generator(0)), "full", generator(0)).gates()
    choices = space.random(Random(3))
    gates = [Gates(each.candidates, choice, each.values) for each, choice in zip(sample, choices, strict=True)]
    weights = [torch.eye(len(g.candidates), dtype=torch.double)[g.active].requires_grad_() for g in gates]

    def summed(decision: int, labels: nn.ModuleList, read: Any) -> Tensor:
        outputs = torch.stack([label(x) for label, x in zip(labels, [each.detach() for each in read], strict=True)])
        active: Tensor = labels[choices[decision]](read[choices[decision]])  # rivals tell nothing to what they read
        rivals = torch.tensordot(weights[decision], outputs, 1) - outputs[choices[decision]].detach()
        return active + cast("Tensor", rivals)

    gated = paths.forward_gated(images, gates)
    plain = paths._logits(images, summed)
    torch.testing.assert_close(gated, plain)
    found = torch.autograd.grad(gated.logsumexp(1).sum(), [gate.values for gate in gates])
    expected = torch.autograd.grad(plain.logsumexp(1).sum(), weights)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-6)


def test_no_edge_gives_zeros_of_the_size_of_an_edge_and_is_no_part_of_a_network() -> None:
    space = SPACES["DARTS"]
    cell = cast("PathCell", CellPaths(space).cells[1])
    assert cell.edges[0].decision == next(i for i, d in enumerate(space.decisions) if d.name == "reduce.0-2")
    none, *others = cast("nn.ModuleList", cell.labels[0])
    x = torch.ones(1, 8, 8, 8)
    assert isinstance(none, Nothing) and space.decisions[0].labels[0] == NONE
    assert {label(x).shape for label in (none, *others)} == {(1, 8, 4, 4)}
    assert not none(x).any()


def test_a_path_leaves_weights_and_statistics_of_all_others_alone() -> None:
    paths = tracked(BLOCKS)
    before = {name: tensor.clone() for name, tensor in paths.state_dict().items()}
    choices = BLOCKS.random(Random(1))
    paths(images_for(BLOCKS, 2), choices)
    moved = {name for name, tensor in paths.state_dict().items() if not torch.equal(tensor, before[name])}
    on_path = {id(module) for module in paths._path(choices)}
    named = dict(paths.named_modules())
    parents = {name: {id(named[name[:end]]) for end in range(len(name)) if name[:end] in named} for name in moved}
    assert moved and all(parents[name] & on_path for name in moved)


@pytest.fixture(scope="module")
def task_of(digits: Data, make_table: MakeTable) -> TaskOf:
    """A search of two epochs of two steps, its budget halfway between the fastest and the slowest network."""
    goal, data = between(BLOCKS, make_table(BLOCKS)), few(digits, 32, 32)

    def of(folder: Path, **changed: Any) -> SearchTask:
        settings = SearchSettings(**{"epochs": 2, "warmup_epochs": 1, "batch_size": 16, "inner_steps": 1} | changed)
        return SearchTask(space=BLOCKS, data=data, goals=(goal,), settings=settings, seed=0, folder=folder)

    return of


def test_a_search_of_blocks_killed_at_any_step_ends_with_the_same_bits(task_of: TaskOf, tmp_path: Path) -> None:
    whole = task_of(tmp_path / "whole")
    result = STRATEGY.search(whole, quiet)
    for killed_at in (1, 3):
        task = replace(whole, folder=tmp_path / f"killed{killed_at}")
        stopped_after(task, killed_at)
        assert STRATEGY.search(task, quiet) == result
        assert left_by(task) == left_by(whole)


def test_a_search_of_blocks_goes_towards_its_budget_and_derives_within_it(task_of: TaskOf, tmp_path: Path) -> None:
    task = task_of(tmp_path, epochs=16, warmup_epochs=0, alpha_learning_rate=0.15)
    goal = between(BLOCKS, task.goals[0].table, 0.25)
    task = replace(task, goals=(goal,))
    told: list[SearchEpoch] = []
    result = STRATEGY.search(task, told.append)
    expected = [epoch.expected_ms["local:onnxruntime"] / goal.budget_ms for epoch in told]
    assert expected[0] > 1.2
    assert expected[-1] == pytest.approx(1, abs=0.1)
    network = result.derive(BLOCKS, task.goals)
    assert goal.is_met_by(network)
    assert STRATEGY.searched_weights(task, network)(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_an_architecture_step_of_blocks_leaves_the_weights_to_the_bit(task_of: TaskOf, tmp_path: Path) -> None:
    searcher = Proxyless.begin(task_of(tmp_path))
    before = flat(searcher.supernet.state_dict())
    for seed in range(3):
        gates = sample_gates(searcher.alpha, "two", generator(seed)).gates()
        with frozen_statistics(searcher.supernet):
            logits = searcher.supernet.forward_gated(images_for(BLOCKS, seed), gates)
            (found,) = torch.autograd.grad(logits.logsumexp(1).sum(), [searcher.alpha.values])
        assert found.isfinite().all() and found.abs().sum() > 0
    assert flat(searcher.supernet.state_dict()) == before


def test_mixtures_of_blocks_are_refused_with_what_searches_them(task_of: TaskOf, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"not DARTS's space of cells, .*; search it with proxyless or random"):
        begin_darts(task_of(tmp_path))


def test_a_wiring_whose_open_edges_are_not_known_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"space darts-rnn: neither a chain nor cells .*; search it with random"):
        CellPaths(parse_space("darts-rnn"))
