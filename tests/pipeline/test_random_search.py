from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal, Reach
from pipeline.data import Data, load_data
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchEpoch, SearchTask
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from pipeline.strategies import load_strategy
from pipeline.strategies.random_search import FLOORS, HEADROOM, STRATEGY, draw, draw_all, epochs_each
from pipeline.training import evaluate
from profilers.errors import FileError

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

SHORT = SearchSettings(strategy="random", epochs=3, warmup_epochs=1, inner_steps=2, batch_size=256, networks=2)


DIGITS = load_data("digits")


class StoppedError(Exception):
    """The process died here."""


@pytest.fixture
def task(space: SearchSpace, digits: Data, make_table: MakeTable, tmp_path: Path) -> SearchTask:
    table = make_table(space)
    reach = Reach.of(space, table)
    goal = Goal(table=table, budget_ms=(reach.fastest_ms + reach.slowest_ms) / 2)
    return SearchTask(space=space, data=digits, goals=(goal,), settings=SHORT, seed=0, folder=tmp_path / "search")


def quiet(_: SearchEpoch) -> None:
    pass


@given(epochs=st.integers(1, 100), warmup=st.integers(0, 99), steps=st.integers(1, 5), networks=st.integers(1, 10))
def test_all_networks_together_cost_what_a_search_costs(epochs: int, warmup: int, steps: int, networks: int) -> None:
    warmup = min(warmup, epochs - 1)
    settings = SearchSettings(
        strategy="random", epochs=epochs, warmup_epochs=warmup, inner_steps=steps, networks=networks
    )
    task = SearchTask(space=parse_space("mbconv-8"), data=DIGITS, goals=(), settings=settings, seed=0, folder=Path())
    assert STRATEGY.cost(task) == epochs + (epochs - warmup) / steps
    trained = STRATEGY.planned_epochs(task)
    assert trained == networks * epochs_each(task)
    assert abs(trained - STRATEGY.cost(task)) <= networks / 2 or trained == networks


@pytest.mark.parametrize("name", ["darts", "fbnet", "snas"])
def test_beside_a_search_of_all_candidates_random_networks_train_for_longer(name: str, task: SearchTask) -> None:
    settings = SearchSettings(strategy=name, epochs=8, warmup_epochs=2)
    beside = replace(task, settings=settings)
    assert STRATEGY.cost(beside) == load_strategy(name).cost(beside) > 16


def test_the_epochs_told_are_those_of_one_network_after_the_other(task: SearchTask) -> None:
    told: list[SearchEpoch] = []
    result = STRATEGY.search(task, told.append)
    assert [epoch.epoch for epoch in told] == [1, 2, 3, 4]  # a search of 3 + 2 / 2 passes
    assert result.log_probability is None and len(result.tried) == 2
    for number, (tried, network) in enumerate(zip(result.tried, draw_all(task, 2), strict=True)):
        assert tried.choices == network.labels
        assert told[2 * number].expected_ms["local:onnxruntime"] == task.goals[0].table.network_ms(network.ops())
        assert tried.accuracy == told[2 * number + 1].accuracy


def test_the_best_network_comes_with_the_weights_it_was_judged_by(task: SearchTask) -> None:
    result = STRATEGY.search(task, quiet)
    best = result.derive(task.space, task.goals)
    network = STRATEGY.searched_weights(task, best).eval()
    accuracy = evaluate(network, task.data.architecture, task.data.normalisation)
    assert accuracy == max(tried.accuracy for tried in result.tried)


def test_a_network_that_was_not_tried_has_no_weights(task: SearchTask) -> None:
    with pytest.raises(FileError, match="no such weights file"):
        STRATEGY.searched_weights(task, Architecture(task.space, (1, 1, 1)))


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_killed_search_resumes_to_the_same_result(epoch: int, task: SearchTask, tmp_path: Path) -> None:
    def stop(result: SearchEpoch) -> None:
        if result.epoch == epoch:
            raise StoppedError

    other = replace(task, folder=tmp_path / "killed")
    whole = STRATEGY.search(task, quiet)
    with pytest.raises(StoppedError):
        STRATEGY.search(other, stop)
    torch.manual_seed(5)
    heard: list[int] = []
    assert STRATEGY.search(other, lambda result: heard.append(result.epoch)) == whole
    assert heard == list(range(epoch + 1, 5))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_networks_are_drawn_within_every_budget_and_not_far_below_the_first(
    share: float, task: SearchTask, make_table: MakeTable
) -> None:
    space = parse_space("mbconv-28")
    tables = [make_table(space), make_table(space, lambda op: 0.05 + op.params / 1e5, target="local:litert")]
    reaches = [Reach.of(space, table) for table in tables]
    shares = (share, 0.9)
    goals = tuple(
        Goal(table=table, budget_ms=reach.fastest_ms + each * (reach.slowest_ms - reach.fastest_ms))
        for table, reach, each in zip(tables, reaches, shares, strict=True)
    )
    task = replace(task, space=space, goals=goals)
    drawn = [draw(task, number) for number in range(8)]
    assert len({network.choices for network in drawn}) == 8
    for network in drawn:
        near = [replace(goal, budget_ms=goal.budget_ms * (1 - HEADROOM)) for goal in goals]
        assert all(goal.is_met_by(network) for goal in near)
        assert tables[0].network_ms(network.ops()) >= FLOORS[0] * near[0].budget_ms * (1 - 1e-5)


def test_a_draw_is_a_function_of_seed_and_number(task: SearchTask) -> None:
    task = replace(task, goals=(replace(task.goals[0], budget_ms=100.0),))
    drawn = [draw(task, number).choices for number in range(20)]
    assert drawn == [draw(task, number).choices for number in range(20)]
    assert drawn != [draw(replace(task, seed=1), number).choices for number in range(20)]
    assert len(set(drawn)) > 5


def test_without_a_budget_any_network_may_be_drawn(task: SearchTask) -> None:
    assert len(draw_all(replace(task, goals=()), 20)) == task.space.size


def test_no_network_is_tried_twice(task: SearchTask) -> None:
    drawn = draw_all(replace(task, goals=(replace(task.goals[0], budget_ms=100.0),)), 13)
    assert len(drawn) == len(set(drawn)) == task.space.size == 12


def test_the_floor_gives_way_where_a_space_is_too_coarse(task: SearchTask) -> None:
    only = Reach.of(task.space, task.goals[0].table).fastest_ms
    loose = replace(task, goals=(replace(task.goals[0], budget_ms=only * 50),))
    assert draw(loose, 0).choices
    tight = replace(task, goals=(replace(task.goals[0], budget_ms=only * 0.9),))
    with pytest.raises(BudgetError, match="fastest reachable"):
        draw(tight, 0)
