"""DARTS's search for a recurrent cell (arXiv:1806.09055), with a latency budget where tables are given.

In turn, alpha takes a step on a segment of the validation text and the weights one on a segment of the training text.
Every random draw is a function of seed and step, so that a search killed at any step goes on to the same result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.budget import Goal
from pipeline.checkpoint import load_state, save_state
from pipeline.data.seeding import generator
from pipeline.derivation import derive
from pipeline.recurrent.edges import initial_alpha, log_probability
from pipeline.recurrent.expected import ExpectedLatency
from pipeline.recurrent.highway import State
from pipeline.recurrent.language_model import LanguageModel, Read, regularised, token_loss
from pipeline.recurrent.search_cell import SearchCell
from pipeline.recurrent.segments import Segment, cut, segments, side_by_side
from pipeline.recurrent.settings import CellSearchSettings
from pipeline.recurrent.space import genotype_of, wiring_of
from pipeline.recurrent.text import Corpus
from pipeline.recurrent.training import step_by
from pipeline.recurrent.unrolled import unrolled_gradient
from pipeline.search_task import SearchError, SearchResult
from pipeline.space import SearchSpace
from profilers.errors import FileError

# At most so much work is lost where a search is killed within an epoch.
CHECKPOINT_EVERY_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CellSearchTask:
    """A space of cells, a text to learn from, and the budgets to keep, which may be none."""

    space: SearchSpace
    corpus: Corpus
    goals: tuple[Goal, ...]
    settings: CellSearchSettings
    seed: int
    folder: Path  # where the checkpoint is kept

    @property
    def path(self) -> Path:
        """Of the checkpoint."""
        return self.folder / "checkpoint.safetensors"

    @property
    def identity(self) -> dict[str, object]:
        """What a checkpoint must agree with to be gone on from."""
        return {
            "space": self.space.name,
            "data": [self.corpus.name, len(self.corpus.train), len(self.corpus.vocabulary)],
            "settings": asdict(self.settings),
            "seed": self.seed,
            "goals": {str(goal.target): goal.budget_ms for goal in self.goals},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSearchEpoch:
    """One pass over the training text: mean losses, nats a token; latency by target; the cell as it stands."""

    epoch: int  # counted from 1
    train_loss: float
    validation_loss: float
    expected_ms: dict[str, float]
    genotype: str


OnEpoch = Callable[[CellSearchEpoch], None]
OnStep = Callable[[int, int], None]  # told how many rows of the text are done, of how many in all


@dataclass(slots=True, kw_only=True)
class CellSearch:
    """What changes during a search; the checkpoint is this."""

    task: CellSearchTask
    model: LanguageModel
    cell: SearchCell
    alpha: Tensor
    weight_optimizer: torch.optim.SGD
    alpha_optimizer: torch.optim.Adam
    latency: ExpectedLatency
    text: Tensor
    validation: Tensor
    state: State
    validation_state: State
    step: int = 0
    epoch: int = 0
    place: int = 0  # of the next segment in its epoch
    validation_row: int = 0
    losses: list[list[float]] = field(default_factory=list)  # of training and validation, step by step

    @staticmethod
    def begin(task: CellSearchTask) -> CellSearch:
        """From where the checkpoint stands, if there is one; raises FileError where it belongs to another search."""
        regime = task.settings.regime
        wiring = wiring_of(task.space)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(task.seed)
            cell = SearchCell(wiring.hidden, wiring.nodes, wiring.concat)
            model = LanguageModel(wiring.vocab, cell)
        alpha = initial_alpha(wiring.nodes, generator(task.seed, "alpha"))
        rate, decay = task.settings.alpha_learning_rate, task.settings.alpha_weight_decay
        text = side_by_side(task.corpus.train, regime.batch_size)
        steps = task.settings.epochs * (len(text) / regime.bptt)
        search = CellSearch(
            task=task,
            model=model,
            cell=cell,
            alpha=alpha,
            weight_optimizer=torch.optim.SGD(
                model.parameters(), lr=regime.learning_rate, weight_decay=regime.weight_decay
            ),
            alpha_optimizer=torch.optim.Adam([alpha], lr=rate, weight_decay=decay),
            latency=ExpectedLatency.of(task.space, task.goals, alpha.detach().softmax(-1), steps, rate),
            text=text,
            validation=side_by_side(task.corpus.validation, regime.batch_size),
            state=cell.initial(regime.batch_size),
            validation_state=cell.initial(regime.batch_size),
        )
        if task.path.exists():
            search.restore()
        return search

    def run(
        self,
        on_epoch: OnEpoch,
        on_step: OnStep = lambda _done, _planned: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> SearchResult:
        """Go on to the end. Raises SearchError where a loss is no number."""
        saved = clock()
        self.model.train()
        while self.epoch < self.task.settings.epochs:
            self.advance()
            on_step(self._rows_done, self.task.settings.epochs * len(self.text))
            if self.place == 0:
                on_epoch(self._told())  # before the checkpoint: an epoch told twice is better than one never told
                self.losses = []
            if self.place == 0 or clock() - saved > CHECKPOINT_EVERY_S:
                self.save()
                saved = clock()
        told = log_probability(self.alpha, self.task.space)
        name = self.task.space.name
        return SearchResult(strategy="darts", space=name, seed=self.task.seed, log_probability=told)

    def advance(self) -> None:
        """One step of alpha, then one of the weights."""
        regime = self.task.settings.regime
        plan = segments(len(self.text), regime.bptt, self.task.seed, self.epoch)
        segment = plan[self.place]
        if segment.start == 0:
            self.state = self.cell.initial(regime.batch_size)
        validation_loss = self._train_alpha(segment)
        train_loss = self._train_weights(segment)
        self.losses.append([train_loss, validation_loss])
        self.step += 1
        self.epoch, self.place = (self.epoch, self.place + 1) if self.place + 1 < len(plan) else (self.epoch + 1, 0)

    def _train_alpha(self, segment: Segment) -> float:
        """On the segment of the validation text that comes next."""
        given = self._validation_segment(segment.length)
        told = []

        def validation_loss() -> Tensor:
            read, targets, state = self._read(self.validation, given, self.validation_state, "alpha", self.alpha)
            loss = token_loss(read, targets)
            told.append((float(loss.detach()), state))
            return loss

        gradient = self._gradient(validation_loss, segment) + self.latency.gradient(self.alpha)
        if not gradient.isfinite().all():
            raise self._diverged("gradient of alpha")
        self.alpha.grad = gradient
        self.alpha_optimizer.step()
        loss, self.validation_state = told[0]
        return loss

    def _gradient(self, validation_loss: Callable[[], Tensor], segment: Segment) -> Tensor:
        if self.task.settings.order == 1:
            return torch.autograd.grad(validation_loss(), [self.alpha])[0]

        def train_loss() -> Tensor:
            read, targets, _ = self._read(self.text, segment, self.state, "weights", self.alpha)
            return token_loss(read, targets)

        regime = self.task.settings.regime
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        gradient = unrolled_gradient(
            train_loss,
            validation_loss,
            list(self.model.parameters()),
            self.alpha,
            rate=regime.learning_rate * segment.length / regime.bptt,
            weight_decay=regime.weight_decay,
            gradient_norm=regime.gradient_norm,
        )
        self.model.load_state_dict(buffers, strict=False)
        return gradient

    def _train_weights(self, segment: Segment) -> float:
        read, targets, state = self._read(self.text, segment, self.state, "weights", self.alpha.detach())
        loss = token_loss(read, targets)
        if not loss.isfinite():
            raise self._diverged("loss")
        self.weight_optimizer.zero_grad()
        regime = self.task.settings.regime
        torch.autograd.backward(regularised(loss, read, activity=regime.activity, slowness=regime.slowness))
        step_by(self.weight_optimizer, regime, segment, what=f"search: step {self.step + 1}")
        self.state = state
        return float(loss.detach())

    def _read(
        self, text: Tensor, segment: Segment, state: State, name: str, alpha: Tensor
    ) -> tuple[Read, Tensor, State]:
        self.cell.mixture = alpha.softmax(-1)
        tokens, targets = cut(text, segment)
        random = generator(self.task.seed, name, self.step)
        read, state = self.model(tokens, state, self.task.settings.regime.dropout, random)
        return read, targets, state

    def _validation_segment(self, length: int) -> Segment:
        """The next one; from the front again, with an empty state, where the text ends."""
        if self.validation_row >= len(self.validation) - 1:
            self.validation_row = 0
            self.validation_state = self.cell.initial(self.validation.shape[1])
        segment = Segment(self.validation_row, min(length, len(self.validation) - 1 - self.validation_row))
        self.validation_row += segment.length
        return segment

    @property
    def _rows_done(self) -> int:
        regime = self.task.settings.regime
        plan = segments(len(self.text), regime.bptt, self.task.seed, self.epoch)
        return self.epoch * len(self.text) + plan[self.place].start

    def _diverged(self, what: str) -> SearchError:
        rate = self.task.settings.regime.learning_rate
        return SearchError(
            f"search: the {what} is not finite at step {self.step + 1}: try a lower learning rate than {rate:g}; "
            f"the last good state is kept in {self.task.path}"
        )

    def _told(self) -> CellSearchEpoch:
        train, validation = (math.fsum(each) / len(self.losses) for each in zip(*self.losses, strict=True))
        derived = derive(self.task.space, log_probability(self.alpha, self.task.space), self.task.goals)
        return CellSearchEpoch(
            epoch=self.epoch,
            train_loss=train,
            validation_loss=validation,
            expected_ms=self.latency.expected_ms(self.alpha.detach().softmax(-1)),
            genotype=str(genotype_of(self.task.space, derived.choices)),
        )

    def save(self) -> None:
        state = {
            "identity": self.task.identity,
            "model": self.model.state_dict(),
            "alpha": self.alpha,
            "weight_optimizer": self.weight_optimizer.state_dict(),
            "alpha_optimizer": self.alpha_optimizer.state_dict(),
            "latency": self.latency.state(),
            "states": [self.state, self.validation_state],
            "progress": [self.step, self.epoch, self.place, self.validation_row],
            "losses": self.losses,
        }
        save_state(self.task.path, state)

    def restore(self) -> None:
        state: dict[str, Any] = load_state(self.task.path)
        different = [name for name, value in self.task.identity.items() if state["identity"].get(name) != value]
        if different:
            told = ", ".join(different)
            raise FileError(f"{self.task.path}: belongs to a search with other {told}; delete it to begin anew")
        self.model.load_state_dict(state["model"])
        with torch.no_grad():
            self.alpha.copy_(state["alpha"])
        self.weight_optimizer.load_state_dict(state["weight_optimizer"])
        self.alpha_optimizer.load_state_dict(state["alpha_optimizer"])
        self.latency.restore(state["latency"])
        self.state, self.validation_state = state["states"]
        self.step, self.epoch, self.place, self.validation_row = state["progress"]
        self.losses = state["losses"]
