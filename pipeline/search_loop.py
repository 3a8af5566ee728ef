"""The loop that every search by gradient runs in.

It owns what they have in common: the batches of both splits, which step does what, learning rate, budgets and
multipliers, checkpoints, and what each epoch tells. Every random draw is a function of seed and step, so that a search
killed at any step goes on to the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from pipeline.architecture import Architecture
from pipeline.checkpoint import load_state, save_state
from pipeline.collapse import parameterless
from pipeline.data.batches import batches, step_count
from pipeline.data.seeding import generator
from pipeline.data.splits import Augment, Split
from pipeline.derivation import derive
from pipeline.latency_loss import LatencyLoss
from pipeline.learned import Moment, SplitName
from pipeline.schedule import Schedule
from pipeline.search_task import OnSearchEpoch, SearchEpoch, SearchError, SearchResult, SearchTask
from pipeline.searcher import Batch, Outcome, Searcher
from pipeline.training import learning_rate_at
from profilers.errors import FileError

CHECKPOINT = "checkpoint.safetensors"
# At most so much work is lost where a search is killed within an epoch.
CHECKPOINT_EVERY_S = 60.0


@dataclass(frozen=True, slots=True)
class GradientSearch:
    """A strategy that runs in the loop."""

    name: str
    begin: Callable[[SearchTask], Searcher]
    # What an epoch of weight steps and one of alpha's steps cost, in passes of one network over the weight split.
    passes: Callable[[SearchTask], tuple[float, float]]

    def planned_epochs(self, task: SearchTask) -> int:
        return task.settings.epochs

    def cost(self, task: SearchTask) -> float:
        """What the search costs, in passes of one network over the weight split."""
        settings = task.settings
        weights, choices = self.passes(task)
        return weights * settings.epochs + choices * (settings.epochs - settings.warmup_epochs) / settings.inner_steps

    def search(self, task: SearchTask, on_epoch: OnSearchEpoch) -> SearchResult:
        """Search from where the checkpoint in `task.folder` stands. Raises SearchError where the loss diverges."""
        loop = SearchLoop.begin(task, self.begin(task))
        loop.run(on_epoch)
        told = loop.searcher.log_probability()
        return SearchResult(strategy=self.name, space=task.space.name, seed=task.seed, log_probability=told)

    def searched_weights(self, task: SearchTask, architecture: Architecture) -> nn.Module:
        """The network with the supernet's weights; raises FileError where no search has finished."""
        loop = SearchLoop.begin(task, self.begin(task))
        # The weights are the same whatever budget or table the network was derived from since.
        loop.restore(whatever=("goals",))
        return loop.searcher.derived(architecture)


@dataclass(slots=True)
class _Sums:
    """What an epoch adds up to."""

    loss: float = 0.0
    steps: int = 0
    correct: int = 0
    judged: int = 0

    def add(self, outcome: Outcome) -> None:
        if outcome.loss is not None:
            self.loss += outcome.loss
            self.steps += 1
        self.correct += outcome.correct
        self.judged += outcome.judged


@dataclass(slots=True, kw_only=True)
class SearchLoop:
    """A search on its way."""

    task: SearchTask
    searcher: Searcher
    schedule: Schedule
    latency: LatencyLoss
    step: int = 0
    architecture_step: int = 0
    kept_steps: tuple[int, int] = (0, 0)  # of the checkpoint and of the one before, 0 where there is none
    sums: _Sums = field(default_factory=_Sums)

    @staticmethod
    def begin(task: SearchTask, searcher: Searcher) -> SearchLoop:
        schedule = Schedule.of(task, searcher.alternation)
        latency = LatencyLoss.of(task, searcher.distribution().detach(), schedule.architecture_steps)
        return SearchLoop(task=task, searcher=searcher, schedule=schedule, latency=latency)

    @property
    def path(self) -> Path:
        return self.task.folder / CHECKPOINT

    @property
    def _path_before(self) -> Path:
        return self.path.with_suffix(".before.safetensors")

    @property
    def _last_is_bad(self) -> bool:
        """Whether the last checkpoint holds the very weights that this step fails with."""
        return self.kept_steps[0] == self.step - 1

    def run(self, on_epoch: OnSearchEpoch, clock: Callable[[], float] = time.monotonic) -> None:
        """Go on to the end, from the checkpoint where there is one."""
        if self.path.exists():
            self.restore()
        training, validation = self.batches()
        saved = clock()
        while self.step < self.schedule.steps:
            try:
                self.advance(training, validation)
            except SearchError:
                self._keep_good()
                raise
            epoch_ends = self.schedule.place(self.step)[1] == 0
            if epoch_ends:
                on_epoch(self.finish_epoch())  # before the checkpoint: told twice is better than never told
            if epoch_ends or clock() - saved > CHECKPOINT_EVERY_S:
                self.save()
                saved = clock()

    def batches(self) -> tuple[Iterator[Batch], Iterator[Batch]]:
        """Training and validation batches without end, from where the search stands."""
        data = self.task.data
        return (
            _endless(self.task, data.weights, "weights", self.weight_step, data.augment),
            _endless(self.task, data.architecture, "architecture", self.architecture_step, None),
        )

    def advance(self, training: Iterator[Batch], validation: Iterator[Batch]) -> None:
        """One step. Raises SearchError where loss or gradients are no numbers, before they are taken in."""
        self.step += 1
        decides = self.schedule.is_architecture_step(self.step)
        self.architecture_step += decides
        self._set_learning_rate()
        train = None if self.schedule.is_alone(self.step) else next(training)
        apart = decides and self.searcher.alternation != "together"
        self.sums.add(self.searcher.step(self.moment, train, next(validation) if apart else None))

    @property
    def weight_step(self) -> int:
        """How many of the steps were the weights'."""
        return self.step - self.architecture_step if self.schedule.alone else self.step

    def _set_learning_rate(self) -> None:
        settings = self.task.settings
        rate = learning_rate_at(
            self.weight_step - 1, self.schedule.weight_steps, 0, settings.learning_rate, settings.learning_rate_end
        )
        for group in self.searcher.learned.weight_optimizer.param_groups:
            group["lr"] = rate

    @property
    def moment(self) -> Moment:
        return Moment(
            seed=self.task.seed,
            step=self.step,
            steps=self.schedule.steps,
            architecture_step=self.architecture_step,
            warming_up=self.schedule.is_warmup(self.step),
            progress=self.schedule.place(max(self.step - 1, 0))[0] / self.schedule.epochs,
            settings=self.task.settings,
            latency=self.latency,
            kept_step=self.kept_steps[self._last_is_bad],
        )

    def finish_epoch(self) -> SearchEpoch:
        """Accuracy is of the networks as they learn: while warming up on their own training images."""
        sums, self.sums = self.sums, _Sums()
        expected_ms = self.latency.expected_ms(self.searcher.distribution().detach()).tolist()
        derived = derive(self.task.space, self.searcher.log_probability(), self.task.goals)
        return SearchEpoch(
            epoch=self.schedule.place(self.step)[0],
            phase="warmup" if self.schedule.is_warmup(self.step) else "search",
            loss=sums.loss / max(sums.steps, 1),
            accuracy=sums.correct / max(sums.judged, 1),
            expected_ms={str(goal.target): ms for goal, ms in zip(self.task.goals, expected_ms, strict=True)},
            multiplier=self.latency.multiplier_weights(expected_ms),
            parameterless=parameterless(derived),
        )

    def save(self) -> None:
        """Write the checkpoint; raises SearchError, and keeps the one before, where a weight is no number."""
        for name, parameter in self.searcher.learned.supernet.named_parameters():
            self.moment.require_finite(f"weight {name}", parameter)
        state = {
            "identity": self.task.identity,
            "step": self.step,
            "architecture_step": self.architecture_step,
            "sums": [self.sums.loss, self.sums.steps, self.sums.correct, self.sums.judged],
            "learned": self.searcher.learned.state(),
            "latency": self.latency.state(),
        }
        if self.path.exists():
            self.path.replace(self._path_before)
        save_state(self.path, state)
        self.kept_steps = self.step, self.kept_steps[0]

    def _keep_good(self) -> None:
        """After a failed step: the last checkpoint that a step has succeeded from stands."""
        if self._last_is_bad:
            self.path.unlink(missing_ok=True)
            if self.kept_steps[1]:
                self._path_before.replace(self.path)

    def restore(self, whatever: tuple[str, ...] = ()) -> None:
        """Go on from a checkpoint; raises FileError where it belongs to another search, `whatever` may differ."""
        state: dict[str, Any] = load_state(self.path)
        wanted = {name: value for name, value in self.task.identity.items() if name not in whatever}
        different = [name for name, value in wanted.items() if state["identity"].get(name) != value]
        if different:
            told = ", ".join(different)
            raise FileError(f"{self.path}: belongs to a search with other {told}; delete it to begin anew")
        self.step, self.architecture_step = state["step"], state["architecture_step"]
        self.kept_steps = self.step, 0
        self.sums = _Sums(*state["sums"])
        self.searcher.learned.restore(state["learned"])
        self.latency.restore(state["latency"])


def _endless(task: SearchTask, split: Split, name: SplitName, start: int, augment: Augment | None) -> Iterator[Batch]:
    """The batches of epoch after epoch, from batch number `start` on."""
    size = min(task.settings.batch_size, len(split))
    per_epoch = step_count(split, size)
    epoch, first = divmod(start, per_epoch)
    while True:
        yield from batches(
            split,
            batch_size=size,
            normalisation=task.data.normalisation,
            seed=generator(task.seed, name).initial_seed(),
            epoch=epoch,
            augment=augment,
            start=first,
        )
        epoch, first = epoch + 1, 0
