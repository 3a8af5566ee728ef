"""ProxylessNAS (arXiv:1812.00332): weights and architecture in turn, on splits that share no image.

A weight step trains one sampled path. An architecture step samples binary gates, and its loss is the cross entropy of
the active path plus, for each target, a multiplier times the logarithm of expected latency; the multiplier follows the
budget. Every random draw is a function of seed and step, so a killed search goes on to the same result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from latency_tables.expected import SupernetCost, supernet_cost
from pipeline.alpha import Alpha
from pipeline.architecture import Architecture
from pipeline.checkpoint import load_state, save_state
from pipeline.data.batches import batches, step_count
from pipeline.data.seeding import generator
from pipeline.data.splits import Augment, Split
from pipeline.gates import GateSample, rescale, sample_gates, sample_path
from pipeline.multiplier import Multiplier
from pipeline.search_task import OnSearchEpoch, SearchEpoch, SearchError, SearchResult, SearchSettings, SearchTask
from pipeline.supernet import Supernet, frozen_statistics
from pipeline.training import GRADIENT_NORM, learning_rate_at, parameter_groups
from profilers.errors import FileError

CHECKPOINT = "checkpoint.safetensors"

# The multiplier's rate in terms of alpha's learning rate: both then take about as many steps to answer.
MULTIPLIER_RATE = 10.0
# The share of the architecture steps over which the budget comes down from the latency of the first distribution: at
# once, latency alone would decide while the weights know too little to object.
DESCENT = 0.5


def planned_epochs(settings: SearchSettings) -> int:
    return settings.epochs


def search(task: SearchTask, on_epoch: OnSearchEpoch) -> SearchResult:
    """Search from where the checkpoint in `task.folder` stands. Raises SearchError where the loss diverges."""
    run = _Run.begin(task)
    path = task.folder / CHECKPOINT
    if path.exists():
        run.restore(path)
    weight_batches = _endless(task, task.data.weights, "weights", run.step, task.data.augment)
    architecture_batches = _endless(task, task.data.architecture, "architecture", run.architecture_step, None)
    per_epoch = step_count(task.data.weights, task.settings.batch_size)
    while run.step < run.schedule.steps:
        run.train_weights(*next(weight_batches))
        if run.schedule.is_architecture_step(run.step):
            run.train_architecture(*next(architecture_batches))
        if run.step % per_epoch == 0:
            on_epoch(run.finish_epoch())  # before the checkpoint: an epoch told twice is better than one never told
            run.save(path)
    return SearchResult(strategy="proxyless", space=task.space.name, log_probability=run.alpha.log_probability())


def searched_weights(task: SearchTask, architecture: Architecture) -> nn.Module:
    """The network of an architecture with the supernet's weights; raises FileError where no search has finished."""
    run = _Run.begin(task)
    # The weights are the same whatever budget or table the network was derived from since.
    run.restore(task.folder / CHECKPOINT, whatever=("goals",))
    return run.supernet.derived(architecture)


@dataclass(frozen=True, slots=True)
class _Schedule:
    """Which step does what; steps count weight updates from 1."""

    steps: int
    warmup_steps: int
    weight_steps: int

    @staticmethod
    def of(task: SearchTask) -> _Schedule:
        per_epoch = step_count(task.data.weights, task.settings.batch_size)
        return _Schedule(
            steps=task.settings.epochs * per_epoch,
            warmup_steps=task.settings.warmup_epochs * per_epoch,
            weight_steps=task.settings.weight_steps,
        )

    def is_architecture_step(self, step: int) -> bool:
        return step > self.warmup_steps and (step - self.warmup_steps) % self.weight_steps == 0

    def budget_ms(self, architecture_step: int, first_ms: float, budget_ms: float) -> float:
        """The budget of one architecture step: from `first_ms` down to the budget on a straight line of logarithms."""
        steps = DESCENT * (self.steps - self.warmup_steps) / self.weight_steps
        left = max(0.0, 1 - architecture_step / steps)
        return budget_ms * math.pow(max(1.0, first_ms / budget_ms), left)


@dataclass(slots=True)
class _Sums:
    """What an epoch adds up to."""

    loss: float = 0.0
    steps: int = 0
    correct: int = 0
    judged: int = 0


@dataclass(slots=True, kw_only=True)
class _Run:
    """What changes during a search; the checkpoint is this."""

    task: SearchTask
    schedule: _Schedule
    supernet: Supernet
    alpha: Alpha
    weight_optimizer: torch.optim.SGD
    alpha_optimizer: torch.optim.Adam
    costs: list[SupernetCost]
    first_ms: list[float]  # expected latency of the first distribution, on each target
    multipliers: list[Multiplier]
    step: int = 0
    architecture_step: int = 0
    sums: _Sums = field(default_factory=_Sums)

    @staticmethod
    def begin(task: SearchTask) -> _Run:
        settings = task.settings
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)
            supernet = Supernet(task.space)
        supernet.to(memory_format=torch.channels_last)
        alpha = Alpha.initial(task.space, generator(task.seed, "alpha"))
        decisions = [decision.ops for decision in task.space.decisions]
        costs = [supernet_cost(goal.table, task.space.fixed, decisions) for goal in task.goals]
        return _Run(
            task=task,
            schedule=_Schedule.of(task),
            supernet=supernet,
            alpha=alpha,
            weight_optimizer=torch.optim.SGD(
                parameter_groups(supernet, settings.weight_decay),
                lr=settings.learning_rate,
                momentum=0.9,
                nesterov=True,
            ),
            # No first moment: an alpha that took no part in a step must not move in it.
            alpha_optimizer=torch.optim.Adam([alpha.values], lr=settings.alpha_learning_rate, betas=(0.0, 0.999)),
            costs=costs,
            first_ms=[float(cost.expected_ms(alpha.probability().detach())) for cost in costs],
            multipliers=[Multiplier(rate=MULTIPLIER_RATE * settings.alpha_learning_rate) for _ in task.goals],
        )

    @property
    def warming_up(self) -> bool:
        return self.step <= self.schedule.warmup_steps

    def train_weights(self, images: Tensor, labels: Tensor) -> None:
        """One step of the weights of one path: any path while warming up, then one drawn from alpha."""
        settings = self.task.settings
        self.step += 1
        for group in self.weight_optimizer.param_groups:
            group["lr"] = learning_rate_at(self.step - 1, self.schedule.steps, 0, settings.learning_rate)
        probability = self.alpha.exists.float() if self.warming_up else self.alpha.probability()
        path = sample_path(probability, generator(self.task.seed, "path", self.step))
        logits = self.supernet(images, path)
        loss = cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
        self._require_finite("loss", loss)
        self.weight_optimizer.zero_grad(set_to_none=True)  # None: what was not sampled must not decay
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.supernet.parameters(), GRADIENT_NORM)
        self.weight_optimizer.step()
        self._note(loss, logits, labels, judge=self.warming_up)

    def train_architecture(self, images: Tensor, labels: Tensor) -> None:
        """One step of alpha on images that the weights never see."""
        self.architecture_step += 1
        random = generator(self.task.seed, "gates", self.architecture_step)
        sample = sample_gates(self.alpha, self.task.settings.paths, random)
        with frozen_statistics(self.supernet):
            logits = self.supernet.forward_gated(images, sample.gates())
            loss = cross_entropy(logits, labels) + self._latency_loss(sample)
            (gradient,) = torch.autograd.grad(loss, [self.alpha.values])
        self._require_finite("gradient of alpha", gradient)
        self.alpha.values.grad = gradient
        before = self.alpha.values.detach().clone()
        self.alpha_optimizer.step()
        if self.task.settings.paths == "two":
            with torch.no_grad():
                self.alpha.values.copy_(rescale(self.alpha.values, before, sample.candidates))
        self._note(None, logits, labels, judge=True)

    def _latency_loss(self, sample: GateSample) -> Tensor:
        total = torch.zeros(())
        by_target = zip(self.costs, self.multipliers, self.task.goals, self.first_ms, strict=True)
        for cost, multiplier, goal, first_ms in by_target:
            budget_ms = self.schedule.budget_ms(self.architecture_step, first_ms, goal.budget_ms)
            expected = cost.expected_ms(sample.probability)
            now_ms = float(expected.detach())
            total = total + multiplier.weight(now_ms, budget_ms) * expected.log()
            multiplier.update(now_ms, budget_ms)
        return total

    def _note(self, loss: Tensor | None, logits: Tensor, labels: Tensor, *, judge: bool) -> None:
        if loss is not None:
            self.sums.loss += float(loss.detach())
            self.sums.steps += 1
        if judge:
            self.sums.correct += int((logits.argmax(1) == labels).sum())
            self.sums.judged += len(labels)

    def _require_finite(self, name: str, value: Tensor) -> None:
        """Raise SearchError before a step takes what is no number into weights or alpha."""
        if not value.isfinite().all():
            raise SearchError(
                f"search: the {name} is not finite at step {self.step} of {self.schedule.steps}: "
                f"try a lower learning_rate than {self.task.settings.learning_rate:g}"
            )

    def finish_epoch(self) -> SearchEpoch:
        """Accuracy is of sampled paths: on their own training images while warming up, then on the other split."""
        sums, self.sums = self.sums, _Sums()
        probability = self.alpha.probability().detach()
        expected = {
            str(goal.target): float(cost.expected_ms(probability))
            for goal, cost in zip(self.task.goals, self.costs, strict=True)
        }
        return SearchEpoch(
            epoch=self.step // step_count(self.task.data.weights, self.task.settings.batch_size),
            phase="warmup" if self.warming_up else "search",
            loss=sums.loss / max(sums.steps, 1),
            accuracy=sums.correct / max(sums.judged, 1),
            expected_ms=expected,
            multiplier={
                str(goal.target): multiplier.weight(expected[str(goal.target)], goal.budget_ms)
                for goal, multiplier in zip(self.task.goals, self.multipliers, strict=True)
            },
        )

    def save(self, path: Path) -> None:
        state = {
            "identity": self.task.identity,
            "step": self.step,
            "architecture_step": self.architecture_step,
            "supernet": self.supernet.state_dict(),
            "alpha": self.alpha.values,
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "multipliers": [asdict(multiplier) for multiplier in self.multipliers],
        }
        save_state(path, state)

    def restore(self, path: Path, whatever: tuple[str, ...] = ()) -> None:
        """Go on from a checkpoint; raises FileError where it belongs to another search, `whatever` may differ."""
        state: dict[str, Any] = load_state(path)
        wanted = {name: value for name, value in self.task.identity.items() if name not in whatever}
        different = [name for name, value in wanted.items() if state["identity"].get(name) != value]
        if different:
            raise FileError(f"{path}: belongs to a search with other {', '.join(different)}; delete it to begin anew")
        self.step, self.architecture_step = state["step"], state["architecture_step"]
        self.supernet.load_state_dict(state["supernet"])
        with torch.no_grad():
            self.alpha.values.copy_(state["alpha"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
        self.multipliers = [Multiplier(**multiplier) for multiplier in state["multipliers"]]


def _endless(
    task: SearchTask, split: Split, name: str, start: int, augment: Augment | None
) -> Iterator[tuple[Tensor, Tensor]]:
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
