from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import torch

from pipeline.budget import Goal, Reach
from pipeline.recurrent.judging import search_passes
from pipeline.recurrent.search import CellSearch, CellSearchEpoch, CellSearchTask
from pipeline.recurrent.segments import Segment
from pipeline.recurrent.settings import CellSearchSettings
from pipeline.recurrent.space import RecurrentWiring
from pipeline.recurrent.text import Corpus
from pipeline.search_task import SearchError
from pipeline.space import SearchSpace
from profilers.errors import FileError

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable


@pytest.fixture
def task(cells: SearchSpace, corpus: Corpus, search_settings: CellSearchSettings, tmp_path: Path) -> CellSearchTask:
    return CellSearchTask(space=cells, corpus=corpus, goals=(), settings=search_settings, seed=0, folder=tmp_path)


def killed_after(task: CellSearchTask, steps: int) -> None:
    """As a kill right after a checkpoint leaves it."""
    search = CellSearch.begin(task)
    search.model.train()
    for _ in range(steps):
        search.advance()
    search.save()


@pytest.mark.parametrize("order", [1, 2])
def test_a_search_that_was_killed_goes_on_to_the_same_bits(
    order: Literal[1, 2], task: CellSearchTask, tmp_path: Path
) -> None:
    task = replace(task, settings=replace(task.settings, order=order))
    killed = replace(task, folder=tmp_path / "killed")
    straight = CellSearch.begin(task)
    result = straight.run(lambda _: None)
    killed_after(killed, 3)
    resumed = CellSearch.begin(killed)
    assert resumed.run(lambda _: None) == result
    assert straight.alpha.equal(resumed.alpha)
    assert all(a.equal(b) for a, b in zip(straight.model.parameters(), resumed.model.parameters(), strict=True))


def test_a_second_order_step_of_alpha_leaves_the_weights_alone(task: CellSearchTask) -> None:
    search = CellSearch.begin(replace(task, settings=replace(task.settings, order=2)))
    before = {name: tensor.clone() for name, tensor in search.model.state_dict().items()}
    alpha = search.alpha.detach().clone()
    search._train_alpha(Segment(0, 10))
    assert all(tensor.equal(before[name]) for name, tensor in search.model.state_dict().items())
    assert not search.alpha.detach().equal(alpha)


def test_a_search_learns_and_tells_of_it(task: CellSearchTask) -> None:
    told: list[CellSearchEpoch] = []
    CellSearch.begin(replace(task, settings=replace(task.settings, epochs=4))).run(told.append)
    assert [each.epoch for each in told] == [1, 2, 3, 4]
    assert told[-1].train_loss < told[0].train_loss


def test_a_budget_pulls_what_is_expected_down_to_it(task: CellSearchTask, make_table: MakeTable) -> None:
    costs = {"identity": 0.01, "relu": 0.02, "sigmoid": 0.05, "tanh": 0.06}
    table = make_table(task.space, lambda op: costs.get(op.label, 0.01))
    reach = Reach.of(task.space, table)
    goal = Goal(table=table, budget_ms=0.75 * reach.fastest_ms + 0.25 * reach.slowest_ms)
    settings = replace(task.settings, epochs=4, alpha_learning_rate=0.2)
    told: list[CellSearchEpoch] = []
    search = CellSearch.begin(replace(task, goals=(goal,), settings=settings))
    (first_ms,) = search.latency.first_ms
    search.run(told.append)
    (last_ms,) = told[-1].expected_ms.values()
    assert last_ms < 1.05 * goal.budget_ms < first_ms


def test_a_loss_that_is_no_number_ends_the_search_and_keeps_the_checkpoint(task: CellSearchTask) -> None:
    search = CellSearch.begin(task)
    search.model.train()
    search.advance()
    search.save()
    kept = task.path.read_bytes()
    with torch.no_grad():
        search.model.bias.fill_(torch.nan)
    with pytest.raises(SearchError, match="not finite at step 2"):
        search.advance()
    assert task.path.read_bytes() == kept


def test_a_search_costs_as_many_passes_as_it_has_edges_for_each_node() -> None:
    settings, wiring = CellSearchSettings(epochs=3), RecurrentWiring(hidden=1000, vocab=1)
    assert search_passes(settings, wiring) == pytest.approx(3 * 2 * (4 + 2 * 36) / (4 + 2 * 8), rel=1e-3)
    assert search_passes(replace(settings, order=2), wiring) == 2.5 * search_passes(settings, wiring)
    assert search_passes(settings, replace(wiring, nodes=1)) == 6


def test_a_checkpoint_of_another_search_is_refused(task: CellSearchTask) -> None:
    killed_after(task, 1)
    with pytest.raises(FileError, match="other seed"):
        CellSearch.begin(replace(task, seed=1)).run(lambda _: None)


def test_validation_is_read_from_front_to_back_again_and_again(task: CellSearchTask) -> None:
    search = CellSearch.begin(task)
    rows = len(search.validation) - 1
    read = [search._validation_segment(4) for _ in range(2 * rows)]
    assert all(b.start in {a.start + a.length, 0} for a, b in pairwise(read))
    assert sum(each.start == 0 for each in read) > 1
