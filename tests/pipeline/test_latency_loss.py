"""The latency terms against numbers that were worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.architecture import Architecture
from pipeline.budget import Goal
from pipeline.data import Data
from pipeline.latency_loss import LatencyLoss
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchError, SearchTask
from pipeline.space import SearchSpace

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

LossOf = Callable[..., LatencyLoss]
UNIFORM = torch.tensor([[0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0.0]])


@pytest.fixture(scope="module")
def loss_of(space: SearchSpace, digits: Data, make_table: MakeTable) -> LossOf:
    """The latency term of a space for budgets on two tables, by MACs and by parameters."""

    def of(*budgets_ms: float, architecture_steps: float = 50, **changed: Any) -> LatencyLoss:
        tables = make_table(space), make_table(space, lambda op: 0.02 + op.params / 1e5, target="local:litert")
        goals = tuple(Goal(table=table, budget_ms=ms) for table, ms in zip(tables, budgets_ms, strict=False))
        settings = SearchSettings(**{"strategy": "proxyless"} | changed)
        task = SearchTask(space=space, data=digits, goals=goals, settings=settings, seed=0, folder=Path())
        return LatencyLoss.of(task, UNIFORM, architecture_steps)

    return of


def taking(ms: float, loss: LatencyLoss) -> LatencyLoss:
    """The same term where every network takes so long."""
    return replace(loss, fixed_ms=torch.tensor([ms]), cost_ms=torch.zeros_like(loss.cost_ms))


def value(loss: LatencyLoss, cross_entropy: float = 1.0) -> float:
    return float(loss.combined(torch.tensor(cross_entropy), UNIFORM, 1))


@pytest.mark.parametrize(("ms", "expected"), [(60, 0.19597), (80, 0.2), (100, 0.20300), (120, 0.20538)])
def test_mul_log_gives_the_reference_numbers(ms: float, expected: float, loss_of: LossOf) -> None:
    loss = loss_of(80.0, latency_loss="mul#log", latency_unit="ms")
    assert value(taking(ms, loss)) == pytest.approx(expected, abs=1e-5)
    assert value(taking(ms, loss), 2.0) == pytest.approx(2 * expected, abs=2e-5)


@pytest.mark.parametrize(
    ("unit", "ms", "expected"),
    [
        ("ms", 20, 0.38631),
        ("ms", 28, 0.41178),
        ("ms", 40, 0.43769),
        ("us", 20, 0.79159),
        ("us", 28, 0.80762),
        ("us", 40, 0.82439),
    ],
)
def test_the_power_of_latency_gives_the_reference_numbers(
    unit: str, ms: float, expected: float, loss_of: LossOf
) -> None:
    loss = loss_of(80.0, latency_loss="power", latency_unit=unit)
    assert value(taking(ms, loss)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("form", "unit"), [("mul#log", "ms"), ("power", "ms"), ("power", "us")])
def test_a_latency_whose_logarithm_is_not_above_zero_is_told(form: str, unit: str, loss_of: LossOf) -> None:
    loss = loss_of(80.0, latency_loss=form, latency_unit=unit)
    with pytest.raises(SearchError, match=rf"latency_loss {form} takes the logarithm of latencies above 1 {unit}"):
        value(taking({"ms": 0.9, "us": 0.0009}[unit], loss))


def test_add_linear_is_nothing_at_the_budget_and_rises_by_its_weight_over_it(loss_of: LossOf) -> None:
    loss = loss_of(80.0, latency_loss="add#linear")
    assert value(taking(80.0, loss)) == pytest.approx(1)
    assert value(taking(120.0, loss)) == pytest.approx(1.05)
    expected = torch.tensor([80.0], requires_grad=True)
    total = replace(loss, fixed_ms=expected, cost_ms=torch.zeros(1, 9)).combined(torch.tensor(1.0), UNIFORM, 1)
    assert float(torch.autograd.grad(total, [expected])[0]) == pytest.approx(0.1 / 80)


def test_a_decided_distribution_costs_what_the_table_predicts(
    space: SearchSpace, loss_of: LossOf, all_networks: Callable[[SearchSpace], list[Architecture]]
) -> None:
    loss = loss_of(1.0, 1.0)
    for network in all_networks(space):
        one_hot = torch.zeros(3, 3)
        one_hot[torch.arange(3), torch.tensor(network.choices)] = 1
        predicted = [goal.table.network_ms(network.ops()) for goal in loss.goals]
        assert loss.expected_ms(one_hot).tolist() == pytest.approx(predicted, rel=1e-6)


@given(st.lists(st.floats(-4, 4), min_size=9, max_size=9))
def test_the_gradient_of_expected_latency_sums_to_zero_over_a_decision(loss_of: LossOf, values: list[float]) -> None:
    alpha = torch.tensor(values).reshape(3, 3).requires_grad_()
    expected = loss_of(1.0).expected_ms(alpha.softmax(1)).sum()
    (gradient,) = torch.autograd.grad(expected, [alpha])
    torch.testing.assert_close(gradient.sum(1), torch.zeros(3), atol=1e-6, rtol=0)


@given(first_ms=st.floats(0.1, 100), budget_ms=st.floats(0.1, 100))
def test_the_budget_comes_down_to_itself_and_never_below(loss_of: LossOf, first_ms: float, budget_ms: float) -> None:
    loss = loss_of(1.0)
    line = [loss.budget_ms(step, first_ms, budget_ms) for step in range(51)]
    assert line[0] == pytest.approx(max(first_ms, budget_ms))
    assert line == sorted(line, reverse=True)
    assert line[25:] == [budget_ms] * 26


def test_only_the_adaptive_form_has_multipliers_and_they_take_a_step_each_time(loss_of: LossOf) -> None:
    assert loss_of(1.0, latency_loss="add#linear").multiplier_weights([1.0]) == {}
    loss = loss_of(0.001, 1000.0)
    before = loss.state()
    loss.combined(torch.tensor(1.0), UNIFORM, 50)
    tight, loose = loss.multipliers
    assert tight.integral > before[0]["integral"] and loose.integral < before[1]["integral"]
    other = loss_of(0.001, 1000.0)
    other.restore(loss.state())
    assert other.multipliers == loss.multipliers
