"""When the weights of a search take a step, and when its choices do."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.data.batches import step_count
from pipeline.search_task import SearchTask
from pipeline.searcher import Alternation


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Which step does what; steps are counted from 1, and an epoch begins with a pass over the weight split.

    Alpha steps with the weights, once for each `inner_steps` of them; or it steps alone, `alone` times at the end of
    each epoch that is no warm-up.
    """

    per_epoch: int  # steps of the weights
    epochs: int
    warmup_epochs: int
    inner_steps: int
    choices_first: bool
    alone: int

    @staticmethod
    def of(task: SearchTask, alternation: Alternation) -> Schedule:
        settings, data = task.settings, task.data
        return Schedule(
            per_epoch=step_count(data.weights, settings.batch_size),
            epochs=settings.epochs,
            warmup_epochs=settings.warmup_epochs,
            inner_steps=settings.inner_steps,
            choices_first=alternation == "choices first",
            alone=step_count(data.architecture, settings.batch_size) if alternation == "by pass" else 0,
        )

    @property
    def steps(self) -> int:
        return self.weight_steps + (self.epochs - self.warmup_epochs) * self.alone

    @property
    def weight_steps(self) -> int:
        return self.epochs * self.per_epoch

    @property
    def warmup_steps(self) -> int:
        return self.warmup_epochs * self.per_epoch

    @property
    def architecture_steps(self) -> float:
        return (self.epochs - self.warmup_epochs) * (self.alone or self.per_epoch) / self.inner_steps

    def place(self, step: int) -> tuple[int, int]:
        """After a step: the epochs that are over, and the steps taken of the one that is not."""
        since = step - self.warmup_steps
        if since < 0:
            return divmod(step, self.per_epoch)
        over, into = divmod(since, self.per_epoch + self.alone)
        return self.warmup_epochs + over, into

    def is_warmup(self, step: int) -> bool:
        return step <= self.warmup_steps

    def is_alone(self, step: int) -> bool:
        """Whether the weights stand still."""
        return self.place(step - 1)[1] >= self.per_epoch

    def is_architecture_step(self, step: int) -> bool:
        """Alpha takes one step for each `inner_steps` of the weights: before the first of them, or after the last."""
        if self.alone:
            return self.is_alone(step)
        since = step - self.warmup_steps
        return since > 0 and (since - self.choices_first) % self.inner_steps == 0
