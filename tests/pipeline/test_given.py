"""A network that is known already, in place of one that is searched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from latency_tables.table_file import save_table
from pipeline.budget import BudgetError, Goal
from pipeline.data import Data
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchError, SearchTask
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from pipeline.strategies import load_strategy
from pipeline.strategies.given import STRATEGY

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Millis

SPACE = "network?of=fbnet-a&resolution=8&channels=1&classes=10"


def task_of(space: SearchSpace, data: Data, folder: Path, goals: tuple[Goal, ...] = ()) -> SearchTask:
    return SearchTask(
        space=space, data=data, goals=goals, settings=SearchSettings(strategy="given"), seed=3, folder=folder
    )


def test_the_only_network_is_derived_under_any_budget_that_it_meets(
    digits: Data, make_table: MakeTable, tmp_path: Path
) -> None:
    space = parse_space(SPACE)
    result = STRATEGY.search(task_of(space, digits, tmp_path), lambda epoch: None)
    table = make_table(space)
    ms = table.network_ms(space.graph(()).ops())
    assert result.derive(space, (Goal(table=table, budget_ms=ms),)).graph() == space.graph(())
    with pytest.raises(BudgetError):
        result.derive(space, (Goal(table=table, budget_ms=0.99 * ms),))


def test_a_space_with_something_to_decide_is_refused(space: SearchSpace, digits: Data, tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"strategy given: .* leaves 3 decisions open; search with another one"):
        STRATEGY.search(task_of(space, digits, tmp_path), lambda epoch: None)


def test_it_costs_nothing_and_leaves_no_weights(digits: Data, tmp_path: Path) -> None:
    task = task_of(parse_space(SPACE), digits, tmp_path)
    assert (STRATEGY.cost(task), STRATEGY.planned_epochs(task), load_strategy("given")) == (0, 0, STRATEGY)
    with pytest.raises(SearchError, match="no search left weights; train from scratch"):
        STRATEGY.searched_weights(task, task.space)  # type: ignore[arg-type]


def test_a_run_of_a_published_network_begins_without_a_search(
    millis: Millis, make_table: MakeTable, tmp_path: Path
) -> None:
    table, run = tmp_path / "table.yaml", tmp_path / "run"
    save_table(make_table(parse_space(SPACE)), table)
    words: list[str | Path] = [
        "--space",
        SPACE,
        "--table",
        table,
        "--budget",
        "9000ms",
        "--data",
        "digits",
        "--strategy",
        "given",
        "-o",
        run,
    ]
    found = millis("search", *words, "--json")
    assert found.exit_code == 0 and (run / "architecture.json").is_file()
    predicted = millis("table", "predict", table, SPACE, "--json").json
    assert millis("table", "predict", table, run / "architecture.json", "--json").json["predicted_ms"] == pytest.approx(
        predicted["predicted_ms"]
    )


@pytest.mark.parametrize("name", ["darts-v2-cifar", "nasnet-a-mobile"])
def test_the_latency_of_a_published_network_of_cells_is_predicted(
    name: str, millis: Millis, make_table: MakeTable, tmp_path: Path
) -> None:
    save_table(make_table(parse_space(f"network?of={name}")), tmp_path / "table.yaml")
    predicted = millis("table", "predict", tmp_path / "table.yaml", name, "--json").json
    assert predicted["network"] == name and predicted["predicted_ms"] > 0
