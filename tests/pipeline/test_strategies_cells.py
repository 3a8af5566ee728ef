"""Strategies on cells: the same as on chains, and what edges, their shares and the rule of two ask of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from pipeline.alpha import Alpha
from pipeline.architecture import Architecture
from pipeline.budget import Reach
from pipeline.collapse import parameterless
from pipeline.data import Data
from pipeline.data.seeding import generator
from pipeline.derivation import derive
from pipeline.edges import Edges
from pipeline.latency_loss import LatencyLoss
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchTask
from pipeline.space import NONE, SpaceError
from pipeline.spaces import parse_space
from pipeline.strategies import load_strategy
from pipeline.strategies.pc_darts import begin as begin_pc_darts
from tests.pipeline.searches import TaskOf, between, few, left_by, quiet, stopped_after

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

ON_CELLS = ["proxyless", "darts", "pc-darts", "fbnet", "snas"]
# Two nodes of five edges in each of two cells.
TINY = parse_space("darts-cifar?resolution=8&channels=1&filters=8&layers=3&nodes=2")


@pytest.fixture(scope="module")
def task_of(digits: Data, make_table: MakeTable) -> TaskOf:
    """A search of four steps, its budget halfway between the fastest and the slowest network."""
    goal, data = between(TINY, make_table(TINY)), few(digits, 16, 16)

    def of(folder: Path, **changed: Any) -> SearchTask:
        chosen = SearchSettings(**{"epochs": 2, "warmup_epochs": 0, "batch_size": 8, "inner_steps": 1} | changed)
        return SearchTask(space=TINY, data=data, goals=(goal,), settings=chosen, seed=0, folder=folder)

    return of


@pytest.mark.parametrize("name", ON_CELLS)
def test_a_search_of_cells_killed_at_any_step_ends_with_the_same_bits(
    name: str, task_of: TaskOf, tmp_path: Path
) -> None:
    whole = task_of(tmp_path / "whole", strategy=name)
    strategy = load_strategy(name)
    result = strategy.search(whole, quiet)
    for killed_at in (1, 2):
        task = replace(whole, folder=tmp_path / f"killed{killed_at}")
        stopped_after(task, killed_at)
        assert strategy.search(task, quiet) == result
        assert left_by(task) == left_by(whole)


@pytest.mark.parametrize("name", ON_CELLS)
def test_a_genotype_of_two_edges_a_node_within_the_budget_is_derived(
    name: str, task_of: TaskOf, tmp_path: Path
) -> None:
    task = task_of(tmp_path, strategy=name)
    result = load_strategy(name).search(task, quiet)
    network = result.derive(task.space, task.goals)
    assert task.goals[0].is_met_by(network)
    assert len(network.kept) == 8  # of ten edges
    assert 0 <= parameterless(network) <= 1


def test_a_strategy_of_cells_says_so_elsewhere(task_of: TaskOf, tmp_path: Path) -> None:
    chain = replace(task_of(tmp_path, strategy="pc-darts"), space=parse_space("mbconv-8"))
    with pytest.raises(SpaceError, match="space mbconv-8: not DARTS's space of cells"):
        begin_pc_darts(chain)


def test_the_shares_of_the_edges_into_a_node_sum_to_one() -> None:
    edges = Edges.initial(TINY, generator(0))
    with torch.no_grad():
        edges.beta.copy_(torch.arange(10.0))
    shares = edges.shares().detach()
    assert [float(shares[list(rule.decisions)].sum()) for rule in TINY.rules] == pytest.approx([1, 1, 1, 1])
    assert shares[:2].tolist() == pytest.approx([0.268941, 0.731059], abs=1e-6)


def test_pc_darts_derives_by_the_product_of_alpha_and_shares(task_of: TaskOf, tmp_path: Path) -> None:
    searcher = begin_pc_darts(task_of(tmp_path, strategy="pc-darts"))
    assert searcher.edges is not None
    with torch.no_grad():
        searcher.alpha.values[:, 4] = 1.0  # a convolution of the same strength everywhere
        searcher.alpha.values[2, 4] = 1.1  # a little stronger, but of an edge that counts for little
        searcher.edges.beta.copy_(torch.tensor([0.0, 0.0, -2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -2.0]))
    scores = searcher.log_probability()
    product = searcher.distribution().detach().double().log()
    assert list(scores["normal.0-3"].values()) == pytest.approx(product[2].tolist(), abs=1e-6)
    network = derive(TINY, scores, ())
    assert list(network.kept) == [decision.name for place, decision in enumerate(TINY.decisions) if place not in {2, 9}]
    assert set(network.kept.values()) == {"sep_conv_3x3"}


def test_a_decided_distribution_costs_what_its_network_does_and_none_only_moves_its_rivals(
    task_of: TaskOf, tmp_path: Path
) -> None:
    task = task_of(tmp_path)
    alpha = Alpha.initial(TINY, generator(0))
    loss = LatencyLoss.of(task, alpha.probability().detach(), 10)
    network = derive(TINY, alpha.log_probability(), task.goals)
    one_hot = torch.eye(8)[torch.tensor(network.choices)]
    assert float(loss.expected_ms(one_hot)) == pytest.approx(task.goals[0].table.network_ms(network.ops()), rel=1e-5)
    # The same chances of operations, but of `none` beside them: as many edges are kept.
    half = alpha.probability().detach().clone()
    half[:, 1:] *= 0.5
    half[:, 0] = 1 - half[:, 1:].sum(1)
    torch.testing.assert_close(loss.expected_ms(half), loss.expected_ms(alpha.probability().detach()))
    assert TINY.decisions[0].labels[0] == NONE


def test_expected_latency_lies_between_the_fastest_and_the_slowest_network(task_of: TaskOf, tmp_path: Path) -> None:
    task = task_of(tmp_path)
    reach = Reach.of(TINY, task.goals[0].table)
    for seed in range(5):
        alpha = Alpha.initial(TINY, generator(seed))
        probability = (1000 * alpha.values.detach()).softmax(1)
        expected = float(LatencyLoss.of(task, probability, 10).expected_ms(probability))
        assert reach.fastest_ms < expected < reach.slowest_ms


def test_a_choice_without_parameters_is_told_from_one_with(all_kept: Callable[[str], Architecture]) -> None:
    assert parameterless(all_kept("max_pool_3x3")) == 1
    assert parameterless(all_kept("sep_conv_3x3")) == 0


@pytest.fixture(scope="module")
def all_kept() -> Callable[[str], Architecture]:
    """The network of one operation on the first two edges into each node."""

    def of(label: str) -> Architecture:
        kept = {TINY.decisions[place].name: label for rule in TINY.rules for place in rule.decisions[:2]}
        return Architecture.from_labels(TINY, kept)

    return of
