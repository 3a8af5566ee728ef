from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import pytest
import torch

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal, Reach
from pipeline.derivation import derive
from pipeline.recurrent.edges import LABELS, choice_probability, edge, initial_alpha, log_probability
from pipeline.recurrent.expected import ExpectedLatency
from pipeline.recurrent.genotype import PUBLISHED
from pipeline.recurrent.space import choices_of, genotype_of, wiring_of
from pipeline.space import SearchSpace, SpaceError
from pipeline.spaces import parse_space
from profilers.op_spec import OpSpec

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

    AllNetworks = Callable[[SearchSpace], list[Architecture]]


def by_activation(op: OpSpec) -> float:
    """Invented: an activation costs as much as its name is long."""
    return 0.01 * len(op.label)


def random_alpha(space: SearchSpace, seed: int) -> torch.Tensor:
    return 1000 * initial_alpha(len(space.decisions), torch.Generator().manual_seed(seed)).detach()


def test_the_space_has_the_published_size() -> None:
    assert parse_space("darts-rnn").size == math.factorial(8) * 4**8 == 2_642_411_520


@pytest.mark.parametrize(
    ("name", "text", "params"),
    [
        ("darts-rnn-v1", "darts-rnn?hidden=850&vocab=10000", 22_960_000),
        ("darts-rnn-v2", "darts-rnn?hidden=700&vocab=33278", 33_127_878),
        ("enas-rnn", "darts-rnn?hidden=850&vocab=10000&nodes=11&mean=2,5,6,9,10,11", 27_295_000),
    ],
)
def test_published_cells_can_be_written_in_it(name: str, text: str, params: int) -> None:
    space = parse_space(text)
    architecture = Architecture(space, choices_of(space, PUBLISHED[name]))
    assert genotype_of(space, architecture.choices) == PUBLISHED[name]
    assert architecture.params == params


def test_a_cell_of_other_nodes_is_not_in_the_space(cells: SearchSpace) -> None:
    with pytest.raises(SpaceError, match="3 nodes"):
        choices_of(cells, PUBLISHED["darts-rnn-v1"])


@pytest.mark.parametrize("text", ["darts-rnn?hidden=0", "darts-rnn?nodes=2&mean=3"])
def test_options_that_misfit_are_an_error(text: str) -> None:
    with pytest.raises(SpaceError, match="must be"):
        parse_space(text)


def test_a_space_of_images_is_none_of_cells(space: SearchSpace) -> None:
    with pytest.raises(SpaceError, match="not a space of recurrent cells"):
        wiring_of(space)


def test_the_graph_computes_logits_and_state(cells: SearchSpace) -> None:
    graph = Architecture.random(cells, Random(0)).graph()
    wiring = wiring_of(cells)
    found = graph.module()(torch.randn(1, 1 + wiring.hidden, 1, 1))
    assert found.shape == (1, wiring.vocab + wiring.hidden)


def test_without_a_budget_a_node_is_its_strongest_edge_though_none_is_stronger(cells: SearchSpace) -> None:
    alpha = torch.full((6, 5), -5.0)
    alpha[:, LABELS.index("none")] = 2.0
    alpha[edge(1, 0), LABELS.index("tanh")] = 0.0
    alpha[edge(2, 1), LABELS.index("relu")] = 1.0
    alpha[edge(3, 0), LABELS.index("sigmoid")] = 1.0
    alpha[edge(3, 2), LABELS.index("identity")] = 1.5
    derived = derive(cells, log_probability(alpha, cells), ())
    assert str(genotype_of(cells, derived.choices)) == "tanh<0 relu<1 identity<2"


@pytest.mark.parametrize("seed", range(3))
def test_under_a_budget_the_cell_is_the_best_of_all(
    seed: int, cells: SearchSpace, make_table: MakeTable, all_networks: AllNetworks
) -> None:
    table, told = make_table(cells, by_activation), log_probability(random_alpha(cells, seed), cells)

    def score(cell: Architecture) -> float:
        return sum(told[name][label] for name, label in cell.labels.items())

    reach = Reach.of(cells, table)
    goal = Goal(table=table, budget_ms=0.7 * reach.fastest_ms + 0.3 * reach.slowest_ms)
    best = max(filter(goal.is_met_by, all_networks(cells)), key=score)
    assert score(derive(cells, told, [goal])) == pytest.approx(score(best))


def test_a_budget_that_no_cell_meets_is_an_error(cells: SearchSpace, make_table: MakeTable) -> None:
    goal = Goal(table=make_table(cells), budget_ms=1e-6)
    with pytest.raises(BudgetError, match="fastest reachable"):
        derive(cells, log_probability(random_alpha(cells, 0), cells), [goal])


def test_the_shares_of_a_node_sum_to_one() -> None:
    mixture = initial_alpha(8, torch.Generator().manual_seed(0)).softmax(-1)
    probability = choice_probability(mixture, 8)
    torch.testing.assert_close(probability.sum(1), torch.ones(8))
    assert (probability > 0).sum(1).tolist() == [4 * node for node in range(1, 9)]


def test_what_is_expected_of_one_cell_is_what_is_predicted_of_it(cells: SearchSpace, make_table: MakeTable) -> None:
    goal = Goal(table=make_table(cells, by_activation), budget_ms=1.0)
    cell = Architecture.random(cells, Random(3))
    mixture = torch.full((6, 5), 1e-9)
    for i, node in enumerate(genotype_of(cells, cell.choices).nodes, 1):
        mixture[edge(i, node.reads), LABELS.index(node.act)] = 1.0
    latency = ExpectedLatency.of(cells, [goal], mixture, 10, 0.01)
    (expected,) = latency.expected_ms(mixture).values()
    assert expected == pytest.approx(goal.latency_ms(cell), rel=1e-5)


def test_the_latency_term_moves_no_edge_as_a_whole(cells: SearchSpace, make_table: MakeTable) -> None:
    goal = Goal(table=make_table(cells, by_activation), budget_ms=0.01)
    alpha = random_alpha(cells, 0).requires_grad_()
    latency = ExpectedLatency.of(cells, [goal], alpha.detach().softmax(-1), 10, 0.01)
    gradient = latency.gradient(alpha)
    assert gradient.abs().max() > 0
    torch.testing.assert_close(gradient.sum(1), torch.zeros(6), atol=1e-6, rtol=0.0)
