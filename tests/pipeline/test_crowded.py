"""A device whose larger networks crowd its caches: derivation stays exact, a search sees it, no sum loses anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import MeasuredNetwork
from latency_tables.crowding import Crowding
from latency_tables.expected import supernet_cost
from latency_tables.table import LatencyTable
from latency_tables.table_file import save_table
from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal, Reach
from pipeline.derivation import derive
from pipeline.space import SearchSpace

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Millis

CONFIDENCES = st.sampled_from([None, 0.5, 0.8, 0.99])


@pytest.fixture(scope="module")
def networks(space: SearchSpace, all_networks: Callable[[SearchSpace], list[Architecture]]) -> list[Architecture]:
    return all_networks(space)


@pytest.fixture(scope="module")
def crowded(space: SearchSpace, networks: list[Architecture], make_table: MakeTable) -> LatencyTable:
    """Measured on every network of the space, of which the slower half takes far longer than the sum."""
    plain = make_table(space)
    sums_ms = {network: plain.plain_ms(network.ops()) for network in networks}
    planted = Crowding(capacity_ms=sorted(sums_ms.values())[len(networks) // 2], surcharge=0.5)
    measured = [
        MeasuredNetwork(
            name=str(network.choices),
            ops=tuple(op for op in network.ops() if not op.free),
            measured_ms=planted.latency_ms(ms),
            spread=0.01,
        )
        for network, ms in sums_ms.items()
    ]
    return make_table(space, networks=measured)


def test_the_networks_show_that_they_are_crowded(crowded: LatencyTable, networks: list[Architecture]) -> None:
    assert crowded.crowding.surcharge > 0
    over_ms = [crowded.network_ms(each.ops()) - crowded.sum_ms(each.ops()) for each in networks]
    assert min(over_ms) == 0 < max(over_ms)


@given(data=st.data(), confidence=CONFIDENCES, floor=st.sampled_from([0.0, 0.8]))
def test_derivation_finds_what_brute_force_finds(
    data: st.DataObject,
    confidence: float | None,
    floor: float,
    crowded: LatencyTable,
    networks: list[Architecture],
    space: SearchSpace,
) -> None:
    anything = Goal(table=crowded, budget_ms=1.0, confidence=confidence)
    budget_ms = data.draw(st.floats(0.9, 1.1)) * anything.latency_ms(data.draw(st.sampled_from(networks)))
    goal = Goal(table=crowded, budget_ms=budget_ms, confidence=confidence)
    scores = {each.name: {label: data.draw(st.integers(-9, 0)) for label in each.labels} for each in space.decisions}

    def score(network: Architecture) -> float:
        return sum(scores[name][label] for name, label in network.labels.items())

    met = [each for each in networks if goal.is_met_by(each)]
    feasible = [each for each in met if crowded.network_ms(each.ops()) >= floor * budget_ms]
    if feasible:
        found = derive(space, scores, [goal], at_least=floor)
        assert found in feasible and score(found) == max(map(score, feasible))
    else:
        with pytest.raises(BudgetError):
            derive(space, scores, [goal], at_least=floor)


def test_the_reach_of_a_space_is_that_of_its_networks(
    crowded: LatencyTable, networks: list[Architecture], space: SearchSpace
) -> None:
    latencies_ms = [crowded.network_ms(network.ops()) for network in networks]
    reach = Reach.of(space, crowded)
    assert (reach.fastest_ms, reach.slowest_ms) == pytest.approx((min(latencies_ms), max(latencies_ms)))


def test_a_decided_supernet_costs_what_the_table_predicts(
    crowded: LatencyTable, networks: list[Architecture], space: SearchSpace
) -> None:
    cost = supernet_cost(crowded, space.fixed, [decision.ops for decision in space.decisions])
    for network in networks:
        one_hot = torch.zeros_like(cost.cost_ms)
        one_hot[torch.arange(len(network.choices)), torch.tensor(network.choices)] = 1
        assert float(cost.expected_ms(one_hot)) == pytest.approx(crowded.network_ms(network.ops()), rel=1e-6)


def test_what_crowding_takes_is_told_beside_the_layers(
    crowded: LatencyTable, networks: list[Architecture], tmp_path: Path, millis: Millis
) -> None:
    table, slowest = tmp_path / "table.yaml", tmp_path / "slowest.json"
    save_table(crowded, table)
    max(networks, key=lambda network: crowded.network_ms(network.ops())).save(slowest)
    found = millis("table", "predict", table, slowest, "--json").json
    layers_ms = sum(layer["ms"] for layer in found["layers"])
    assert found["crowding_ms"] > 0
    assert found["overhead_ms"] + layers_ms + found["crowding_ms"] == pytest.approx(found["predicted_ms"])
    assert "crowded caches" in millis("table", "predict", table, slowest).stdout
