from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest
import torch
from torch import Tensor, nn

from pipeline.architecture import Architecture
from pipeline.autocast import Compute
from pipeline.budget import Goal, Reach
from pipeline.data import Data
from pipeline.data.batches import batches
from pipeline.gates import Paths
from pipeline.search_loop import SearchLoop
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchEpoch, SearchError, SearchResult, SearchTask
from pipeline.space import SearchSpace
from pipeline.strategies import load_strategy
from pipeline.strategies.proxyless import STRATEGY, Proxyless
from profilers.errors import FileError

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

SHORT = SearchSettings(epochs=3, warmup_epochs=1, batch_size=256, alpha_learning_rate=0.1, inner_steps=1)


class StoppedError(Exception):
    """The process died here."""


@pytest.fixture
def task(space: SearchSpace, digits: Data, make_table: MakeTable, tmp_path: Path) -> SearchTask:
    """A search of seconds, its budget halfway between the fastest and the slowest network."""
    table = make_table(space)
    reach = Reach.of(space, table)
    goal = Goal(table=table, budget_ms=(reach.fastest_ms + reach.slowest_ms) / 2)
    return SearchTask(space=space, data=digits, goals=(goal,), settings=SHORT, seed=0, folder=tmp_path / "search")


@pytest.fixture
def pairs(digits: Data) -> Iterator[tuple[Tensor, Tensor]]:
    return batches(digits.weights, batch_size=64, normalisation=digits.normalisation)


def quiet(_: SearchEpoch) -> None:
    pass


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_the_epochs_of_a_search_are_told(task: SearchTask) -> None:
    told: list[SearchEpoch] = []
    result = STRATEGY.search(task, told.append)
    assert [(epoch.epoch, epoch.phase) for epoch in told] == [(1, "warmup"), (2, "search"), (3, "search")]
    reach = Reach.of(task.space, task.goals[0].table)
    for epoch in told:
        assert reach.fastest_ms < epoch.expected_ms["local:onnxruntime"] < reach.slowest_ms
        assert epoch.multiplier["local:onnxruntime"] > 0 and 0 <= epoch.accuracy <= 1 and epoch.loss > 0
    assert (result.strategy, result.space) == ("proxyless", task.space.name)
    assert task.goals[0].is_met_by(result.derive(task.space, task.goals))


@pytest.mark.parametrize(("epoch", "paths"), [(1, "two"), (2, "two"), (2, "full")])
def test_a_killed_search_resumes_to_the_same_bits(epoch: int, paths: Paths, task: SearchTask, tmp_path: Path) -> None:
    def stop(result: SearchEpoch) -> None:
        if result.epoch == epoch:
            raise StoppedError

    task = replace(task, settings=replace(SHORT, paths=paths))
    other = replace(task, folder=tmp_path / "killed")
    whole = STRATEGY.search(task, quiet)
    with pytest.raises(StoppedError):
        STRATEGY.search(other, stop)
    torch.manual_seed(5)  # what else the process draws must not matter
    heard: list[int] = []
    resumed = STRATEGY.search(other, lambda result: heard.append(result.epoch))
    assert heard == list(range(epoch, 4))  # the epoch that was being told is told again
    assert resumed == whole
    network = Architecture(task.space, (0, 1, 1))
    one, another = (STRATEGY.searched_weights(each, network) for each in (task, other))
    assert not changed(state(one), state(another))


def test_a_finished_search_is_not_repeated(task: SearchTask) -> None:
    first = STRATEGY.search(task, quiet)
    told: list[SearchEpoch] = []
    assert STRATEGY.search(task, told.append) == first
    assert told == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda task: replace(task, seed=1), "seed"),
        (lambda task: replace(task, settings=replace(SHORT, epochs=4)), "settings"),
        (lambda task: replace(task, goals=(replace(task.goals[0], budget_ms=1.0),)), "goals"),
    ],
)
def test_a_checkpoint_of_another_search_is_refused(
    change: Callable[[SearchTask], SearchTask], told: str, task: SearchTask
) -> None:
    STRATEGY.search(replace(task, settings=replace(SHORT, epochs=2)), quiet)
    task = change(replace(task, settings=replace(SHORT, epochs=2)))
    with pytest.raises(FileError, match=rf"checkpoint\.safetensors: belongs to a search with other {told}"):
        STRATEGY.search(task, quiet)


@pytest.mark.parametrize("warmup_epochs", [0, 1])
def test_a_loss_that_is_no_number_ends_the_search_at_its_step(warmup_epochs: int, task: SearchTask) -> None:
    settings = replace(SHORT, learning_rate=1e30, warmup_epochs=warmup_epochs)
    with pytest.raises(SearchError, match=r"not finite at step [12] of 12: try a lower learning_rate than 1e\+30"):
        STRATEGY.search(replace(task, settings=settings), quiet)


def begun(task: SearchTask) -> tuple[SearchLoop, Proxyless]:
    """A search that has not begun, with weights first in every step."""
    searcher = Proxyless.begin(task)
    return SearchLoop.begin(task, searcher), searcher


def test_a_weight_step_changes_the_sampled_path_and_nothing_else(
    task: SearchTask, pairs: Iterator[tuple[Tensor, Tensor]]
) -> None:
    loop, searcher = begun(replace(task, settings=replace(SHORT, batch_size=64)))
    for batch in pairs:  # from the second step on there is momentum that must not act on the others
        loop.step += 1
        alpha, before = searcher.alpha.values.detach().clone(), state(searcher.supernet)
        searcher.step(loop.moment, batch, None)
        assert torch.equal(searcher.alpha.values, alpha)
        moved = [tuple(name.split(".")[1:3]) for name in changed(before, state(searcher.supernet))]
        layers = sorted(layer for layer, _ in set(moved))  # one candidate of each, but for an identity in layer 3
        assert layers in ([*"0123456"], [*"012456"])


@pytest.mark.parametrize("paths", ["two", "full"])
def test_an_architecture_step_changes_alpha_and_nothing_else(
    paths: Paths, task: SearchTask, pairs: Iterator[tuple[Tensor, Tensor]]
) -> None:
    loop, searcher = begun(replace(task, settings=replace(SHORT, paths=paths)))
    searcher.step(loop.moment, next(pairs), None)
    before, momentum = state(searcher.supernet), searcher.learned.weight_optimizer.state_dict()
    for images, labels in pairs:
        loop.architecture_step += 1
        alpha, probability = searcher.alpha.values.detach().clone(), searcher.alpha.probability().detach()
        searcher._step_alpha(loop.moment, images, labels)
        moved = (searcher.alpha.values != alpha) & searcher.alpha.exists
        assert moved.sum(1).tolist() == ([2, 2, 2] if paths == "two" else [2, 3, 2])
        still = searcher.alpha.exists & ~moved
        assert searcher.alpha.probability()[still].tolist() == pytest.approx(probability[still].tolist(), abs=1e-6)
    assert not changed(before, state(searcher.supernet))
    assert str(searcher.learned.weight_optimizer.state_dict()) == str(momentum)


def test_latency_moves_alpha_even_where_the_layer_is_left_out(
    task: SearchTask, pairs: Iterator[tuple[Tensor, Tensor]]
) -> None:
    loop, searcher = begun(task)
    identity = task.space.decisions[1].index("identity")
    steps = 0
    for images, labels in pairs:
        loop.architecture_step += 1
        with torch.no_grad():
            searcher.alpha.values[1] = torch.tensor([0.0, 0.0, 6.0])  # nearly always active
        before = searcher.alpha.values.detach().clone()
        searcher._step_alpha(loop.moment, images, labels)
        steps += int((searcher.alpha.values != before)[1, identity])
    assert steps > 10


@pytest.mark.parametrize("paths", ["two", "full"])
def test_a_search_goes_towards_its_budget(paths: Paths, task: SearchTask) -> None:
    reach = Reach.of(task.space, task.goals[0].table)
    budget_ms = reach.fastest_ms + 0.25 * (reach.slowest_ms - reach.fastest_ms)
    settings = replace(SHORT, epochs=8, batch_size=64, alpha_learning_rate=0.05, paths=paths)
    told: list[SearchEpoch] = []
    goals = (replace(task.goals[0], budget_ms=budget_ms),)
    STRATEGY.search(replace(task, settings=settings, goals=goals), told.append)
    expected = [epoch.expected_ms["local:onnxruntime"] / budget_ms for epoch in told]
    assert expected[0] > 1.09
    assert expected[-1] == pytest.approx(1, abs=0.07)


def test_the_searched_weights_serve_another_budget_than_that_of_the_search(task: SearchTask) -> None:
    STRATEGY.search(replace(task, settings=replace(SHORT, epochs=2)), quiet)
    later = replace(
        task, settings=replace(SHORT, epochs=2), goals=tuple(replace(goal, budget_ms=9.0) for goal in task.goals)
    )
    network = STRATEGY.searched_weights(later, Architecture(task.space, (1, 2, 0)))
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_there_are_no_searched_weights_before_a_search(task: SearchTask) -> None:
    with pytest.raises(FileError, match="no such state file"):
        STRATEGY.searched_weights(task, Architecture(task.space, (0, 0, 0)))


def test_two_targets_are_each_driven_by_a_multiplier_of_their_own(task: SearchTask, make_table: MakeTable) -> None:
    loose = Goal(table=make_table(task.space, target="local:litert"), budget_ms=100.0)
    tight = replace(task.goals[0], budget_ms=Reach.of(task.space, task.goals[0].table).fastest_ms * 1.01)
    told: list[SearchEpoch] = []
    result = STRATEGY.search(replace(task, goals=(tight, loose)), told.append)
    assert told[-1].multiplier["local:onnxruntime"] > told[-1].multiplier["local:litert"]
    assert isinstance(result, SearchResult)
    assert tight.is_met_by(result.derive(task.space, (tight, loose)))


def test_an_unknown_strategy_is_told_with_those_there_are() -> None:
    with pytest.raises(SearchError, match="no strategy 'evolution'; there are: proxyless, darts"):
        load_strategy("evolution")


def test_bf16_searches_almost_as_fp32_does(task: SearchTask) -> None:
    losses = []
    for compute in get_args(Compute):
        told: list[SearchEpoch] = []
        settings = replace(SHORT, compute=compute)
        STRATEGY.search(replace(task, settings=settings, folder=task.folder / compute), told.append)
        losses.append(told[-1].loss)
    assert losses[0] != losses[1] and abs(losses[0] - losses[1]) < 0.1 * losses[0]


def test_bf16_is_refused_for_mixtures() -> None:
    with pytest.raises(ValueError, match="compute=bf16 is for proxyless, not for darts"):
        SearchSettings(strategy="darts", compute="bf16")
