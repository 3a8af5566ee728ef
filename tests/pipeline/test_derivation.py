from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import MeasuredNetwork
from latency_tables.errors import MissingOpError
from pipeline.budget import Budget, BudgetError, Goal, Reach
from pipeline.derivation import derive, require_feasible
from pipeline.space import Chain, Layer, SearchSpace
from profilers.op_spec import OpSpec
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity
from profilers.shape import Shape
from tests.pipeline.conftest import by_macs

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.architecture import Architecture
    from tests.pipeline.conftest import MakeTable

    AllNetworks = Callable[[SearchSpace], list[Architecture]]
    LogProbability = dict[str, dict[str, float]]

TARGETS = ("local:onnxruntime", "local:litert")
THOUSANDTHS = st.integers(1, 5000).map(lambda count: count / 1000)


@st.composite
def chains(draw: st.DrawFn) -> SearchSpace:
    """Up to five layers of up to four convolutions; one that keeps its shape may also be left out."""
    layers = []
    shape = Shape(4, 4, 2)
    for i in range(draw(st.integers(1, 5))):
        out = draw(st.integers(2, 4))
        kernels = draw(st.lists(st.sampled_from([1, 3, 5]), min_size=1, unique=True))
        operations: list[Operation] = [Conv(out, kernel=kernel) for kernel in kernels]
        if out == shape.channels and draw(st.booleans()):
            operations.append(Identity())
        layers.append(Layer(f"layer{i}", tuple(OpSpec(operation, shape) for operation in operations)))
        shape = layers[-1].out_shape
    return Chain("chain", (*layers, Layer("classifier", (OpSpec(Classifier(2), shape),))))


def scores_of(space: SearchSpace, data: st.DataObject) -> LogProbability:
    numbers = st.floats(-20, 0) | st.integers(-3, 0).map(float)
    return {layer.name: {label: data.draw(numbers) for label in layer.labels} for layer in space.decisions}


def score(log_probability: LogProbability, network: Architecture) -> float:
    return sum(log_probability[name][label] for name, label in network.labels.items())


@given(data=st.data(), space=chains(), targets=st.sampled_from([TARGETS[:1], TARGETS]))
def test_derivation_finds_what_brute_force_finds(
    data: st.DataObject, space: SearchSpace, targets: tuple[str, ...], make_table: MakeTable, all_networks: AllNetworks
) -> None:
    goals, networks = [], all_networks(space)
    for target in targets:
        cost_ms = {op: data.draw(THOUSANDTHS) for op in space.op_specs()}
        table = make_table(space, cost_ms.__getitem__, target=target)
        share = Budget(data.draw(st.sampled_from([0.0, 100.0]) | st.floats(0, 100)), "%")
        goal = Goal(table=table, budget_ms=1.0, confidence=data.draw(st.sampled_from([None, 0.5, 0.8, 0.99])))
        exact_ms = goal.latency_ms(data.draw(st.sampled_from(networks)))
        budget_ms = data.draw(st.sampled_from([exact_ms, share.resolve_ms(Reach.of(space, table))]))
        goals.append(replace(goal, budget_ms=budget_ms))
    log_probability = scores_of(space, data)
    feasible = [network for network in networks if all(goal.is_met_by(network) for goal in goals)]
    if not feasible:
        with pytest.raises(BudgetError):
            derive(space, log_probability, goals)
        return
    found = derive(space, log_probability, goals)
    assert all(goal.latency_ms(found) <= goal.budget_ms * (1 + 1e-9) for goal in goals)
    best = max(score(log_probability, network) for network in feasible)
    assert score(log_probability, found) == pytest.approx(best, abs=1e-5)


@given(data=st.data(), floor=st.floats(0.5, 1))
def test_a_network_below_the_floor_is_not_derived(
    data: st.DataObject, floor: float, space: SearchSpace, make_table: MakeTable, all_networks: AllNetworks
) -> None:
    table = make_table(space)
    goal = Goal(table=table, budget_ms=Budget(data.draw(st.floats(1, 100)), "%").resolve_ms(Reach.of(space, table)))
    try:
        found = derive(space, scores_of(space, data), [goal], at_least=floor)
    except BudgetError:
        shares = [table.network_ms(network.ops()) / goal.budget_ms for network in all_networks(space)]
        assert not any(floor < share <= 1 for share in shares)
    else:
        assert floor - 1e-5 <= table.network_ms(found.ops()) / goal.budget_ms <= 1 + 1e-9


def even(space: SearchSpace) -> LogProbability:
    return {layer.name: dict.fromkeys(layer.labels, 0.0) for layer in space.decisions}


def by_macs_of(space: SearchSpace, scale: float = 1.0) -> LogProbability:
    return {
        decision.name: {
            label: scale * sum(op.macs for op in ops) for label, ops in zip(decision.labels, decision.ops, strict=True)
        }
        for decision in space.decisions
    }


@pytest.mark.parametrize("share", ["0%", "100%"])
def test_the_extremes_of_a_space_are_budgets_that_can_be_met(
    share: str, space: SearchSpace, make_table: MakeTable
) -> None:
    table = make_table(space, lambda op: 0.1 + op.macs / 3e6)
    reach = Reach.of(space, table)
    goal = Goal(table=table, budget_ms=Budget.parse(share).resolve_ms(reach))
    favourites = by_macs_of(space, 1e-3)
    extreme_ms = reach.fastest_ms if share == "0%" else reach.slowest_ms
    assert table.network_ms(derive(space, favourites, [goal]).ops()) == pytest.approx(extreme_ms)


def test_an_infeasible_budget_ends_with_the_fastest_reachable_latency(
    space: SearchSpace, make_table: MakeTable
) -> None:
    table = make_table(space)
    fastest_ms = Reach.of(space, table).fastest_ms
    with pytest.raises(BudgetError, match=f"fastest reachable is {fastest_ms:.4g} ms") as caught:
        derive(space, even(space), [Goal(table=table, budget_ms=0.001)])
    assert caught.value.exit_code == 3
    assert "local:onnxruntime" in str(caught.value) and "together" not in str(caught.value)


def test_a_confidence_costs_the_speed_that_makes_sure_of_it(
    space: SearchSpace, make_table: MakeTable, all_networks: AllNetworks
) -> None:
    chains = [tuple(op for op in network.ops() if not op.free) for network in all_networks(space)]
    measured = [
        MeasuredNetwork(name=str(i), ops=chain, measured_ms=sum(map(by_macs, chain)), spread=0.0)
        for i, chain in enumerate(chains)
    ]
    table = make_table(space, networks=measured)
    favourites = by_macs_of(space)
    budget_ms = Budget.parse("100%").resolve_ms(Reach.of(space, table))
    loose, sure = (
        derive(space, favourites, [Goal(table=table, budget_ms=budget_ms, confidence=confidence)])
        for confidence in (None, 0.8)
    )
    assert table.predict(sure.ops()).at_most_ms(0.8) <= budget_ms < table.predict(loose.ops()).at_most_ms(0.8)
    with pytest.raises(BudgetError, match="with 99% confidence, where the fastest reachable is"):
        require_feasible(space, [Goal(table=table, budget_ms=Reach.of(space, table).fastest_ms, confidence=0.99)])


def test_budgets_that_can_be_met_alone_but_not_together_are_told_apart(
    space: SearchSpace, make_table: MakeTable
) -> None:
    small = make_table(space, lambda op: 0.01 + op.macs / 1e6, target=TARGETS[0])
    large = make_table(space, lambda op: 1.0 - op.macs / 1e6, target=TARGETS[1])
    goals = [Goal(table=table, budget_ms=Reach.of(space, table).fastest_ms * 1.001) for table in (small, large)]
    for goal in goals:
        require_feasible(space, [goal])
    with pytest.raises(BudgetError, match="each can be met alone, but not together"):
        require_feasible(space, goals)


def test_an_unmeasured_op_is_an_error_not_a_free_one(space: SearchSpace, make_table: MakeTable) -> None:
    table = make_table(space)
    lacking = next(op for decision in space.decisions for ops in decision.ops for op in ops if not op.free)
    table = replace(table, entries={op: found for op, found in table.entries.items() if op != lacking})
    with pytest.raises(MissingOpError, match=str(lacking)):
        derive(space, even(space), [Goal(table=table, budget_ms=10.0)])


def test_a_space_that_leaves_nothing_open_has_one_network(make_table: MakeTable) -> None:
    space = Chain("fixed", (Layer("classifier", (OpSpec(Classifier(2), Shape(4, 4, 2)),)),))
    table = make_table(space, lambda _: 0.5)
    assert derive(space, {}, [Goal(table=table, budget_ms=0.5)]).choices == ()
    with pytest.raises(BudgetError, match=r"fastest reachable is 0\.5 ms"):
        derive(space, {}, [Goal(table=table, budget_ms=0.4)])
