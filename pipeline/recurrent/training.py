"""Training a language model: judged by validation, stopped by steps or time, resumed to the same weights."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.checkpoint import load_state, save_state
from pipeline.data.seeding import generator
from pipeline.recurrent.averaging import averaged, begin_averaging, begin_sgd, is_time_to_average
from pipeline.recurrent.highway import State
from pipeline.recurrent.language_model import LanguageModel, evaluate, regularised, token_loss
from pipeline.recurrent.segments import Segment, cut, segments, side_by_side
from pipeline.recurrent.settings import CellTrainSettings, Regime
from pipeline.recurrent.text import Corpus
from pipeline.training import TrainingError
from profilers.errors import FileError

EVALUATION_BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """After so many steps and seconds of training: mean losses, nats a token."""

    step: int
    seconds: float
    train_loss: float
    validation_loss: float
    averaging: bool

    def told_of(self, cell: str) -> str:
        """In a line, for whoever watches."""
        return (
            f"{cell}: step {self.step}, {self.seconds:.0f} s, {self.train_loss:.3f} nats a token, validation "
            f"{self.validation_loss:.3f}{', averaging' if self.averaging else ''}"
        )


OnEvaluation = Callable[[Evaluation], None]


@dataclass(slots=True, kw_only=True)
class CellTraining:
    """What changes while a model is trained; the checkpoint is this. The best weights so far are kept beside."""

    model: LanguageModel
    corpus: Corpus
    settings: CellTrainSettings
    seed: int
    path: Path
    optimizer: torch.optim.Optimizer
    text: Tensor
    validation: Tensor
    state: State
    step: int = 0
    seconds: float = 0.0
    epoch: int = 0
    place: int = 0  # of the next segment in its epoch
    losses: list[float] = field(default_factory=list)  # since the last evaluation
    evaluations: list[Evaluation] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def begin(
        model: LanguageModel, corpus: Corpus, settings: CellTrainSettings, *, seed: int, path: Path
    ) -> CellTraining:
        """From the model's own weights, or from the checkpoint at `path`; raises FileError for another training's."""
        regime = settings.regime
        training = CellTraining(
            model=model,
            corpus=corpus,
            settings=settings,
            seed=seed,
            path=path,
            optimizer=begin_sgd(model.parameters(), regime),
            text=side_by_side(corpus.train, regime.batch_size),
            validation=side_by_side(corpus.validation, EVALUATION_BATCH),
            state=model.recurrent.initial(regime.batch_size),
        )
        if path.exists():
            training.restore()
        return training

    def run(
        self,
        *,
        steps: float = math.inf,
        epochs: float = math.inf,
        seconds: float = math.inf,
        on_evaluation: OnEvaluation = lambda _: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Go on until so many steps, epochs or seconds in all, whichever comes first; then write the checkpoint.

        Raises TrainingError where a loss is no number, with the last checkpoint kept.
        """
        self.model.train()
        since = clock()
        while self.step < steps and self.epoch < epochs and self.seconds < seconds:
            self.advance()
            self.seconds, since = self.seconds + clock() - since, clock()
            if self.step % self.settings.evaluate_every == 0:
                self.judge(on_evaluation)
                self.seconds, since = self.seconds + clock() - since, clock()
                self.save()
        self.save()

    def advance(self) -> None:
        """One segment."""
        plan = self._plan()
        segment = plan[self.place]
        if segment.start == 0:
            self.state = self.model.recurrent.initial(self.text.shape[1])
        random = generator(self.seed, "training", self.step)
        tokens, targets = cut(self.text, segment)
        read, self.state = self.model(tokens, self.state, self.settings.regime.dropout, random)
        loss = token_loss(read, targets)
        self.optimizer.zero_grad()
        whole = regularised(loss, read, activity=self.settings.regime.activity, slowness=self.settings.regime.slowness)
        torch.autograd.backward(whole)
        step_by(self.optimizer, self.settings.regime, segment, what=f"training: step {self.step + 1}")
        self.losses.append(float(loss.detach()))
        self.step += 1
        self.epoch, self.place = (self.epoch, self.place + 1) if self.place + 1 < len(plan) else (self.epoch + 1, 0)

    def judge(self, on_evaluation: OnEvaluation) -> None:
        """Evaluate, keep the best weights, and begin to average where it is time."""
        averaging = isinstance(self.optimizer, torch.optim.ASGD)
        with averaged(self.optimizer):
            found = evaluate(self.model, self.validation)
            if not self.evaluations or found < min(each.validation_loss for each in self.evaluations):
                self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.evaluations.append(
            Evaluation(
                step=self.step,
                seconds=self.seconds,
                train_loss=sum(self.losses) / max(len(self.losses), 1),
                validation_loss=found,
                averaging=averaging,
            )
        )
        self.losses = []
        on_evaluation(self.evaluations[-1])
        told = [each.validation_loss for each in self.evaluations]
        if not averaging and is_time_to_average(told, self.settings.patience):
            self.optimizer = begin_averaging(self.model.parameters(), self.settings.regime)

    def best_evaluation(self) -> Evaluation:
        """The best of all, that of the weights as they are now included; the checkpoint does not hear of that one."""
        if not self.evaluations or self.evaluations[-1].step != self.step:
            self.judge(lambda _: None)
        return min(self.evaluations, key=lambda each: each.validation_loss)

    def _plan(self) -> tuple[Segment, ...]:
        return segments(len(self.text), self.settings.regime.bptt, self.seed, self.epoch)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint must agree on, by a word for a user each."""
        shapes = {name: list(tensor.shape) for name, tensor in self.model.state_dict().items()}
        tokens = [len(self.corpus.train), len(self.corpus.vocabulary)]
        return {
            "settings": asdict(self.settings),
            "seed": self.seed,
            "data": [self.corpus.name, *tokens],
            "cell": [str(getattr(self.model.cell, "genotype", "lstm")), shapes],
        }

    def save(self) -> None:
        state = {
            "identity": self.identity,
            "model": self.model.state_dict(),
            "averaging": isinstance(self.optimizer, torch.optim.ASGD),
            "optimizer": self.optimizer.state_dict(),
            "best": self.best,
            "state": self.state,
            "losses": self.losses,
            "evaluations": [asdict(each) for each in self.evaluations],
            "progress": [self.step, self.seconds, self.epoch, self.place],
        }
        save_state(self.path, state)

    def restore(self) -> None:
        state: dict[str, Any] = load_state(self.path)
        different = [name for name, value in self.identity.items() if state["identity"].get(name) != value]
        if different:
            told = ", ".join(different)
            raise FileError(f"{self.path}: belongs to a training with other {told}; delete it to begin anew")
        self.model.load_state_dict(state["model"])
        if state["averaging"]:
            self.optimizer = begin_averaging(self.model.parameters(), self.settings.regime)
        self.optimizer.load_state_dict(state["optimizer"])
        self.best, self.state, self.losses = state["best"], state["state"], state["losses"]
        self.evaluations = [Evaluation(**each) for each in state["evaluations"]]
        self.step, self.seconds, self.epoch, self.place = state["progress"]


def step_by(optimizer: torch.optim.Optimizer, regime: Regime, segment: Segment, *, what: str) -> None:
    """A step along gradients cut in length, weighed by the segment's; raises TrainingError where one is no number."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, regime.gradient_norm)
    if not norm.isfinite():
        raise TrainingError(
            f"{what}: the gradient is not finite: try a lower learning rate than {regime.learning_rate:g}"
        )
    # In place of the learning rate, of which averaged SGD would take the one before.
    torch._foreach_mul_([each.grad for each in parameters if each.grad is not None], segment.length / regime.bptt)
    optimizer.step()
