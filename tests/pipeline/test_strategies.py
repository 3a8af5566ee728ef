"""What holds for every strategy by gradient: it keeps to its budget, and goes on after a kill as if never killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from pipeline.architecture import Architecture
from pipeline.checkpoint import load_state
from pipeline.data import Data
from pipeline.learned import supernet_of
from pipeline.mixture import Mixture
from pipeline.schedule import Schedule
from pipeline.search_loop import CHECKPOINT, SearchLoop
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchEpoch, SearchError, SearchTask
from pipeline.space import SearchSpace
from pipeline.strategies import load_strategy
from pipeline.strategies.darts import begin as begin_darts
from tests.pipeline.searches import TaskOf, between, few, flat, left_by, loop_of, quiet, stopped_after

if TYPE_CHECKING:
    from pipeline.searcher import Batch
    from tests.pipeline.conftest import MakeTable

ON_CHAINS = ["proxyless", "darts", "fbnet", "snas"]
STEPS = {"proxyless": 12, "darts": 12, "fbnet": 16, "snas": 12}


class StoppedError(Exception):
    """The process died here."""


@pytest.fixture(scope="module")
def task_of(space: SearchSpace, digits: Data, make_table: MakeTable) -> TaskOf:
    """A search with four steps an epoch, three epochs, a budget halfway between the fastest and the slowest network."""
    goal, data = between(space, make_table(space)), few(digits, 64, 32)

    def of(folder: Path, **changed: Any) -> SearchTask:
        chosen = SearchSettings(**{"epochs": 3, "warmup_epochs": 1, "batch_size": 16, "inner_steps": 1} | changed)
        return SearchTask(space=space, data=data, goals=(goal,), settings=chosen, seed=0, folder=folder)

    return of


@pytest.fixture(scope="module")
def never_killed(task_of: TaskOf, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    """What each search ends with: everything that a checkpoint holds."""
    ended = {}
    for name in ON_CHAINS:
        folder = tmp_path_factory.mktemp(name)
        load_strategy(name).search(task := task_of(folder, strategy=name), quiet)
        ended[name] = left_by(task)
    return ended


@pytest.mark.parametrize("name", ON_CHAINS)
@given(killed_at=st.integers(1, max(STEPS.values())))
@settings(max_examples=4)
def test_a_search_killed_at_any_step_ends_with_the_same_bits(
    name: str, task_of: TaskOf, never_killed: dict[str, list[Any]], killed_at: int
) -> None:
    with TemporaryDirectory() as folder:
        loop = loop_of(task := task_of(Path(folder), strategy=name))
        ticks = count(step=100)  # seconds: a checkpoint after every step

        def clock() -> float:
            if loop.step == min(killed_at, STEPS[name]):
                raise StoppedError
            return next(ticks)

        with pytest.raises(StoppedError):
            loop.run(quiet, clock)
        torch.manual_seed(killed_at)  # what else the process draws must not matter
        load_strategy(name).search(task, quiet)
        assert left_by(task) == never_killed[name]


def test_a_search_of_second_order_goes_on_after_a_kill_as_if_never_killed(task_of: TaskOf, tmp_path: Path) -> None:
    whole = task_of(tmp_path / "whole", strategy="darts", order="second")
    result = load_strategy("darts").search(whole, quiet)
    task = replace(whole, folder=tmp_path / "killed")
    stopped_after(task, 7)
    assert load_strategy("darts").search(task, quiet) == result
    first = load_strategy("darts").search(task_of(tmp_path / "first", strategy="darts"), quiet)
    assert first != result


@pytest.mark.parametrize("name", ON_CHAINS)
def test_epochs_are_told_and_a_network_within_the_budget_is_derived(name: str, task_of: TaskOf, tmp_path: Path) -> None:
    told: list[SearchEpoch] = []
    task = task_of(tmp_path, strategy=name)
    result = load_strategy(name).search(task, told.append)
    assert [(epoch.epoch, epoch.phase) for epoch in told] == [(1, "warmup"), (2, "search"), (3, "search")]
    assert all(epoch.loss > 0 and 0 < epoch.accuracy <= 1 and 0 <= epoch.parameterless <= 1 for epoch in told)
    assert (result.strategy, result.seed) == (name, 0)
    network = result.derive(task.space, task.goals)
    assert task.goals[0].is_met_by(network)
    derived = load_strategy(name).searched_weights(task, network)
    assert derived(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("name", ON_CHAINS)
def test_alpha_stands_still_while_the_weights_warm_up(name: str, task_of: TaskOf, tmp_path: Path) -> None:
    loop = loop_of(task_of(tmp_path, strategy=name))
    training, validation = loop.batches()
    first = loop.searcher.distribution().clone()
    for _ in range(4):
        loop.advance(training, validation)
        assert torch.equal(loop.searcher.distribution(), first)
    while loop.architecture_step == 0:
        loop.advance(training, validation)
    assert not torch.equal(loop.searcher.distribution(), first)


@pytest.mark.parametrize("name", ON_CHAINS)
def test_a_loss_that_is_no_number_is_told_with_its_step_and_the_last_good_checkpoint_kept(
    name: str, task_of: TaskOf, tmp_path: Path
) -> None:
    task = task_of(tmp_path, strategy=name)
    loop = loop_of(task)
    searcher = loop.searcher
    ticks = count(step=100)

    def clock() -> float:
        if loop.step == 6:  # a weight that makes the next losses no number
            with torch.no_grad():
                for weight in searcher.learned.supernet.parameters():
                    weight.mul_(1e30)
        return next(ticks)

    with pytest.raises(SearchError, match=r"not finite at step (7|8) of 1[26]: try a lower learning_rate") as caught:
        loop.run(quiet, clock)
    kept = load_state(tmp_path / CHECKPOINT)
    assert f"the checkpoint of step {kept['step']} is kept" in str(caught.value)
    assert all(torch.isfinite(weight).all() for weight in kept["learned"]["supernet"].values())
    load_strategy(name).search(task, quiet)  # it goes on from there


@pytest.mark.parametrize("name", ON_CHAINS)
def test_a_search_goes_towards_its_budget(name: str, task_of: TaskOf, tmp_path: Path) -> None:
    task = task_of(
        tmp_path,
        strategy=name,
        epochs=30,
        warmup_epochs=0,
        alpha_learning_rate=0.05,
        latency_loss="adaptive",
        temperature=1.0,
        temperature_end=0.5,
    )
    goal = between(task.space, task.goals[0].table, 0.25)
    told: list[SearchEpoch] = []
    load_strategy(name).search(replace(task, goals=(goal,)), told.append)
    expected = [epoch.expected_ms["local:onnxruntime"] / goal.budget_ms for epoch in told]
    assert expected[0] > 1.07
    assert expected[-1] == pytest.approx(1, abs=0.07)


@pytest.mark.parametrize("inner_steps", [1, 2, 3])
@pytest.mark.parametrize("choices_first", [True, False])
def test_alpha_takes_a_step_for_so_many_of_the_weights(inner_steps: int, *, choices_first: bool) -> None:
    schedule = Schedule(
        per_epoch=6, epochs=4, warmup_epochs=1, inner_steps=inner_steps, choices_first=choices_first, alone=0
    )
    decides = [step for step in range(1, 25) if schedule.is_architecture_step(step)]
    assert len(decides) == schedule.architecture_steps == 18 / inner_steps
    assert decides[0] == (7 if choices_first else 6 + inner_steps)
    assert {later - earlier for earlier, later in pairwise(decides)} <= {inner_steps}


def test_alpha_goes_alone_over_its_split_at_the_end_of_each_epoch_that_is_no_warm_up() -> None:
    schedule = Schedule(per_epoch=4, epochs=3, warmup_epochs=1, inner_steps=1, choices_first=False, alone=2)
    steps = range(1, schedule.steps + 1)
    assert "".join("wc"[schedule.is_alone(step)] for step in steps) == "wwww" + "wwwwcc" + "wwwwcc"
    assert all(schedule.is_alone(step) == schedule.is_architecture_step(step) for step in steps)
    assert [schedule.place(step) for step in (3, 4, 9, 10, 16)] == [(0, 3), (1, 0), (1, 5), (2, 0), (3, 0)]
    assert (schedule.weight_steps, schedule.architecture_steps) == (12, 4)


def noted(name: str, batches: Iterator[Batch], seen: dict[str, list[Tensor]]) -> Iterator[Batch]:
    """Passes batches on, and keeps their labels under a name for each run of one split."""
    for images, labels in batches:
        if not seen or not list(seen)[-1].startswith(name):
            seen[f"{name}{len(seen)}"] = []
        seen[list(seen)[-1]].append(labels)
        yield images, labels


def test_fbnet_goes_over_all_images_of_the_weights_and_then_over_all_others(task_of: TaskOf, tmp_path: Path) -> None:
    loop = loop_of(task := task_of(tmp_path, strategy="fbnet", warmup_epochs=0))
    training, validation = loop.batches()
    seen: dict[str, list[Tensor]] = {}
    training, validation = noted("weights", training, seen), noted("architecture", validation, seen)
    for _ in range(loop.schedule.steps):
        loop.advance(training, validation)
    assert list(seen) == ["weights0", "architecture1", "weights2", "architecture3", "weights4", "architecture5"]
    for name, labels in seen.items():
        split = task.data.weights if name.startswith("weights") else task.data.architecture
        assert torch.equal(torch.cat(labels).sort().values, split.labels.sort().values)


def test_in_each_pass_of_fbnet_the_weights_or_alpha_stand_still(task_of: TaskOf, tmp_path: Path) -> None:
    loop = loop_of(task_of(tmp_path, strategy="fbnet", warmup_epochs=0))
    training, validation = loop.batches()
    for step in range(1, loop.schedule.steps + 1):
        alpha = loop.searcher.distribution().detach().clone()
        weights = flat(loop.searcher.learned.supernet.state_dict())
        loop.advance(training, validation)
        alone = loop.schedule.is_alone(step)
        assert torch.equal(loop.searcher.distribution(), alpha) == (not alone)
        assert (flat(loop.searcher.learned.supernet.state_dict()) == weights) == alone


@pytest.mark.parametrize("taken", [16, 17, 19])
def test_fbnet_goes_on_from_between_its_passes_and_from_within_alpha_s(
    taken: int, task_of: TaskOf, tmp_path: Path
) -> None:
    whole = task_of(tmp_path / "whole", strategy="fbnet", epochs=2, batch_size=8)  # 8 steps, and 8 with 4 of alpha
    result = load_strategy("fbnet").search(whole, quiet)
    task = replace(whole, folder=tmp_path / "killed")
    assert stopped_after(task, taken).architecture_step == taken - 16
    assert load_strategy("fbnet").search(task, quiet) == result
    assert left_by(task) == left_by(whole)


def by_the_book(task: SearchTask, steps: int, inner_steps: int) -> tuple[Tensor, dict[str, Tensor]]:
    """First-order DARTS written out: alpha by its own loss, then the weights by theirs; no latency, no schedule."""
    supernet = supernet_of(task)
    loop = loop_of(task)
    training, validation = loop.batches()
    assert isinstance(loop.searcher, Mixture)
    alpha = loop.searcher.alpha.values.detach().clone().requires_grad_()
    exists = loop.searcher.alpha.exists
    weights = torch.optim.SGD(supernet.parameters(), lr=0.05, momentum=0.9, foreach=True)
    choices = torch.optim.Adam([alpha], lr=0.1, betas=(0.5, 0.999))

    def loss_of(batch: Batch, values: Tensor) -> Tensor:
        rows = values.masked_fill(~exists, -torch.inf).softmax(1)
        mix = [row[: len(decision.labels)] for row, decision in zip(rows, task.space.decisions, strict=True)]
        return cross_entropy(supernet.forward_mixed(batch[0], mix), batch[1])

    for step in range(steps):
        if step % inner_steps == 0:
            (alpha.grad,) = torch.autograd.grad(loss_of(next(validation), alpha), [alpha])
            choices.step()
        weights.zero_grad()
        torch.autograd.backward(loss_of(next(training), alpha.detach()))
        torch.nn.utils.clip_grad_norm_(supernet.parameters(), 5.0, foreach=True)
        weights.step()
    return alpha.detach(), {name: weight.detach() for name, weight in supernet.named_parameters()}


@pytest.mark.parametrize("inner_steps", [1, 3])
def test_darts_takes_the_steps_of_the_book_and_so_does_its_multi_step_kin(
    inner_steps: int, task_of: TaskOf, tmp_path: Path
) -> None:
    task = task_of(
        tmp_path,
        strategy="darts",
        epochs=1000,  # so long that the cosine has not begun to fall
        warmup_epochs=0,
        inner_steps=inner_steps,
        learning_rate=0.05,
        weight_decay=0.0,
        alpha_learning_rate=0.1,
        alpha_weight_decay=0.0,
        latency_loss="add#linear",
        latency_weight=1e-9,
    )
    alpha, weights = by_the_book(task, 6, inner_steps)
    loop = SearchLoop.begin(task, searcher := begin_darts(task))
    training, validation = loop.batches()
    for _ in range(6):
        loop.advance(training, validation)
    torch.testing.assert_close(searcher.alpha.values.detach(), alpha, rtol=1e-4, atol=1e-5)
    for name, weight in searcher.supernet.named_parameters():
        torch.testing.assert_close(weight.detach(), weights[name], rtol=1e-3, atol=1e-4)


def test_a_mixture_of_one_candidate_each_is_its_path(task_of: TaskOf, tmp_path: Path) -> None:
    task = task_of(tmp_path)
    supernet = supernet_of(task).eval()
    images = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for choices in ((0, 1, 0), (1, 2, 1)):
        rows = [torch.eye(len(d.labels))[c] for d, c in zip(task.space.decisions, choices, strict=True)]
        mixed = supernet.forward_mixed(images, rows)
        torch.testing.assert_close(mixed, supernet(images, choices))
        derived = supernet.derived(Architecture(task.space, choices)).eval()
        torch.testing.assert_close(mixed, derived(images))
