from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_tables.calibration import MeasuredNetwork
from pipeline.budget import Budget, Goal, Reach
from pipeline.space import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.architecture import Architecture
    from tests.pipeline.conftest import MakeTable


@given(whole=st.integers(0, 10**9), places=st.text("0123456789", max_size=6), space=st.sampled_from(["", " ", "  "]))
def test_a_decimal_number_of_milliseconds_is_a_budget(whole: int, places: str, space: str) -> None:
    number = f"{whole}.{places}"
    if float(number) > 0:
        assert Budget.parse(f" {number}{space}ms ") == Budget(float(number), "ms")


@given(st.floats(0, 100).map(lambda value: f"{value:.3f}"))
def test_a_share_of_the_way_is_a_budget(number: str) -> None:
    assert Budget.parse(f"{number}%") == Budget(float(number), "%")


@given(st.floats(50, 99.9).map(lambda value: f"{value:.3f}"), st.sampled_from(["12ms", "40%", "0.5 ms "]))
def test_a_budget_may_be_kept_with_a_confidence(number: str, budget: str) -> None:
    plain, sure = Budget.parse(budget), Budget.parse(f"{budget}@{number}%")
    assert (sure.value, sure.unit, sure.confidence) == (plain.value, plain.unit, float(number) / 100)
    assert plain.confidence is None


@pytest.mark.parametrize("text", ["12ms@49%", "12ms@100%", "12ms@0%", "40%@101%"])
def test_what_is_no_confidence_of_a_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a confidence is from 50% to below 100%"):
        Budget.parse(text)


@given(st.text() | st.from_regex(r"-?[0-9.e]{0,5} ?(ms|%|us|s|)", fullmatch=True))
def test_any_text_is_a_budget_that_can_be_kept_or_a_value_error(text: str) -> None:
    try:
        budget = Budget.parse(text)
    except ValueError:
        return
    assert budget.unit == "%" or 0 < budget.value < float("inf")
    assert budget.unit == "ms" or 0 <= budget.value <= 100


@pytest.mark.parametrize(
    "text",
    [
        "12",
        "12ms@",
        "12ms@95",
        "@95%",
        "ms",
        "-3ms",
        "12 s",
        "0ms",
        "0.000ms",
        "1e3ms",
        "101%",
        "nan%",
        "9" * 400 + "ms",
    ],
)
def test_what_is_no_budget_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"budget|latency above zero|at most 100%"):
        Budget.parse(text)


@given(share=st.floats(0, 100))
def test_a_relative_budget_lies_between_the_fastest_and_the_slowest_network(share: float) -> None:
    reach = Reach(fastest_ms=2.0, slowest_ms=5.0)
    assert 2 <= Budget(share, "%").resolve_ms(reach) <= 5
    assert Budget(0, "%").resolve_ms(reach) == 2
    assert Budget(40, "%").resolve_ms(reach) == pytest.approx(3.2)
    assert Budget(100, "%").resolve_ms(reach) == 5


def test_an_absolute_budget_is_itself_whatever_the_space_can_do() -> None:
    assert Budget.parse("12.5ms").resolve_ms(Reach(fastest_ms=20, slowest_ms=30)) == 12.5


@settings(max_examples=20)
@given(costs=st.lists(st.floats(1e-3, 9), min_size=10, max_size=10), places=st.lists(st.integers(0, 11), max_size=4))
def test_the_reach_of_a_space_is_that_of_all_its_networks(
    costs: list[float],
    places: list[int],
    space: SearchSpace,
    make_table: MakeTable,
    all_networks: Callable[[SearchSpace], list[Architecture]],
) -> None:
    cost_ms = dict(zip(space.op_specs(), costs, strict=True))
    networks = all_networks(space)
    chains = [[op for op in networks[place].ops() if not op.free] for place in places]
    measured = [
        MeasuredNetwork(
            name=f"{i}", ops=tuple(chain), measured_ms=0.02 + 0.8 * sum(map(cost_ms.__getitem__, chain)), spread=0
        )
        for i, chain in enumerate(chains)
    ]
    table = make_table(space, cost_ms.__getitem__, networks=measured)
    latencies = [table.network_ms(network.ops()) for network in networks]
    reach = Reach.of(space, table)
    assert reach.fastest_ms == pytest.approx(min(latencies))
    assert reach.slowest_ms == pytest.approx(max(latencies))


def test_a_goal_is_met_by_a_network_that_takes_just_its_budget(
    space: SearchSpace, make_table: MakeTable, all_networks: Callable[[SearchSpace], list[Architecture]]
) -> None:
    table = make_table(space)
    network = all_networks(space)[5]
    exact_ms = table.network_ms(network.ops())
    assert Goal(table=table, budget_ms=exact_ms).is_met_by(network)
    assert not Goal(table=table, budget_ms=exact_ms * (1 - 1e-6)).is_met_by(network)


def test_a_goal_with_a_confidence_counts_what_is_not_exceeded(
    space: SearchSpace, make_table: MakeTable, all_networks: Callable[[SearchSpace], list[Architecture]]
) -> None:
    table = make_table(space)
    network = all_networks(space)[5]
    exact_ms = table.network_ms(network.ops())
    sure_ms = table.predict(network.ops()).at_most_ms(0.95)
    assert sure_ms > exact_ms
    assert Goal(table=table, budget_ms=sure_ms, confidence=0.95).is_met_by(network)
    assert not Goal(table=table, budget_ms=exact_ms, confidence=0.95).is_met_by(network)
    assert Goal(table=table, budget_ms=exact_ms, confidence=0.5).latency_ms(network) == pytest.approx(exact_ms)
