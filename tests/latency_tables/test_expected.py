from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from latency_tables.errors import MissingOpError
from latency_tables.expected import SupernetCost, supernet_cost
from latency_tables.table import LatencyTable
from profilers.op_spec import OpSpec

STEM = OpSpec.parse("conv in=8x8x3 out=8 kernel=3")
SMALL = OpSpec.parse("mbconv in=8x8x8 out=8")
LARGE = OpSpec.parse("mbconv in=8x8x8 out=8 kernel=5 expand=6")
SKIP = OpSpec.parse("identity in=8x8x8")
HEAD = OpSpec.parse("classifier in=8x8x8 out=10")
DECISIONS = (((SMALL,), (LARGE,)), ((SMALL,), (LARGE,), (SKIP,)))


@pytest.fixture
def cost(table: LatencyTable) -> SupernetCost:
    return supernet_cost(table, (STEM, HEAD), DECISIONS)


def softmax_of(alpha: Tensor) -> Tensor:
    """Rows of softmax; where a layer has fewer candidates, its alpha is -inf and the probability zero."""
    return alpha.softmax(dim=-1)


def test_the_cost_of_a_supernet_is_that_of_its_parts(table: LatencyTable, cost: SupernetCost) -> None:
    base_ms = table.network_ms(())
    assert cost.fixed_ms == pytest.approx(base_ms + table.op_ms(STEM) + table.op_ms(HEAD))
    rows = [[table.op_ms(SMALL), table.op_ms(LARGE), 0], [table.op_ms(SMALL), table.op_ms(LARGE), 0]]
    torch.testing.assert_close(cost.cost_ms, torch.tensor(rows))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("second", [0, 1, 2])
def test_a_decided_supernet_costs_what_the_table_predicts(
    table: LatencyTable, cost: SupernetCost, first: int, second: int
) -> None:
    probability = torch.zeros(2, 3)
    probability[0, first] = probability[1, second] = 1
    network = (STEM, *DECISIONS[0][first], *DECISIONS[1][second], HEAD)
    assert float(cost.expected_ms(probability)) == pytest.approx(table.network_ms(network))


@given(st.lists(st.floats(-5, 5), min_size=5, max_size=5), st.lists(st.floats(0.01, 10), min_size=5, max_size=5))
def test_the_gradient_is_the_probability_times_the_excess_over_the_layer(alphas: list[float], ms: list[float]) -> None:
    alpha = torch.tensor([[*alphas[:2], -torch.inf], alphas[2:]], dtype=torch.float64, requires_grad=True)
    cost_ms = torch.tensor([[*ms[:2], 0.0], ms[2:]], dtype=torch.float64)
    SupernetCost(fixed_ms=1.0, cost_ms=cost_ms).expected_ms(softmax_of(alpha)).backward()  # type: ignore[no-untyped-call]
    p = softmax_of(alpha.detach())
    layer_ms = (p * cost_ms).sum(dim=-1, keepdim=True)
    assert alpha.grad is not None
    torch.testing.assert_close(alpha.grad, p * (cost_ms - layer_ms))
    torch.testing.assert_close(alpha.grad.sum(dim=-1), torch.zeros(2, dtype=torch.float64))


def test_an_identity_costs_nothing_and_still_pulls_the_others(cost: SupernetCost) -> None:
    alpha = torch.zeros(2, 3, requires_grad=True)
    cost.expected_ms(softmax_of(alpha)).backward()  # type: ignore[no-untyped-call]
    assert alpha.grad is not None
    assert alpha.grad[1, 2] < 0 < alpha.grad[1, 1]  # a step down the gradient makes skipping likelier


def test_a_candidate_of_several_cells_costs_what_all_of_them_add_and_none_costs_nothing(table: LatencyTable) -> None:
    cost = supernet_cost(table, (), [((), (SMALL, LARGE, SMALL))])
    added_ms = 2 * table.op_ms(SMALL) + table.op_ms(LARGE)
    torch.testing.assert_close(cost.cost_ms, torch.tensor([[0.0, added_ms]]))


def test_a_supernet_with_an_unmeasured_candidate_has_no_cost(table: LatencyTable) -> None:
    other = OpSpec.parse("mbconv in=8x8x8 out=8 kernel=7")
    for fixed, decisions in (((STEM, other), DECISIONS), ((STEM,), (((SMALL,), (other,)),))):
        with pytest.raises(MissingOpError, match="kernel=7"):
            supernet_cost(table, fixed, decisions)


def test_a_chain_without_decisions_costs_its_fixed_operations(table: LatencyTable) -> None:
    cost = supernet_cost(table, (STEM, HEAD), ())
    assert float(cost.expected_ms(torch.zeros(0, 1))) == pytest.approx(table.network_ms((STEM, HEAD)))
