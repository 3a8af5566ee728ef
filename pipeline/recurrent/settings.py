"""How recurrent cells are searched and trained: plain data; defaults for the Penn Treebank (arXiv:1806.09055)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any, ClassVar, Literal

Level = Literal["char", "word"]  # what a token of a text is


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropout:
    """Shares that are dropped: rows of the embedding, its output, the cell's input and state, the model's output."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    rows: float = 0.0
    embedded: float = 0.0
    cell_input: float = 0.0
    state: float = 0.0
    output: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rows", "embedded", "cell_input", "state", "output"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"dropout {name}={getattr(self, name)} must lie in 0..1, 1 excluded")

    def scaled(self, factor: float) -> Dropout:
        return Dropout(
            rows=factor * self.rows,
            embedded=factor * self.embedded,
            cell_input=factor * self.cell_input,
            state=factor * self.state,
            output=factor * self.output,
        )


# arXiv:1806.09055, for the Penn Treebank: while searching, and to train the cell that was found.
OF_SEARCH = Dropout(embedded=0.2, cell_input=0.75, state=0.25, output=0.75)
OF_TRAINING = Dropout(rows=0.1, embedded=0.2, cell_input=0.75, state=0.25, output=0.75)

# What a text of characters and a small cell bear of the rates above; words bear them whole from the size of the cell
# that the paper searches with.
CHARACTERS = 0.15
WHOLE_FROM = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """How weights learn, in a search and in a training alike: SGD whose gradients are cut in length."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    batch_size: int = 64
    bptt: int = 35  # the usual length of a segment
    learning_rate: float = 20.0  # of a segment of the usual length, of others in proportion
    gradient_norm: float = 0.25  # longer gradients are cut to this
    weight_decay: float = 8e-7
    dropout: Dropout = OF_TRAINING
    activity: float = 0.0  # weight of the squares of states
    slowness: float = 1e-3  # of the squares of their differences from step to step

    def __post_init__(self) -> None:
        for name in ("batch_size", "bptt", "learning_rate", "gradient_norm"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number above 0")
        for name in ("weight_decay", "activity", "slowness"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")

    def with_dropout(self, factor: float) -> Regime:
        return replace(self, dropout=self.dropout.scaled(factor))


SEARCH_REGIME = Regime(batch_size=256, weight_decay=5e-7, dropout=OF_SEARCH)


def usual_dropout(level: Level, hidden: int) -> float:
    """Which share of the Penn Treebank's rates a model is trained with, where nobody says."""
    return CHARACTERS if level == "char" else min(1.0, hidden / WHOLE_FROM)


def usual_search_regime(level: Level, hidden: int) -> Regime:
    """What a plan searches by that leaves it out: a batch and, for characters, a learning rate for smaller texts."""
    rate = 5.0 if level == "char" else SEARCH_REGIME.learning_rate
    return replace(
        SEARCH_REGIME.with_dropout(usual_dropout(level, hidden)), batch_size=Regime().batch_size, learning_rate=rate
    )


def usual_train_regime(level: Level, hidden: int) -> Regime:
    """What a plan trains by that leaves it out."""
    return Regime().with_dropout(usual_dropout(level, hidden))


_OF_PLAN: Any = None  # what is left out is what suits the plan's level and size


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSearchSettings:
    """How a cell is searched; `order` 2 looks one step of the weights ahead. An epoch is a pass over the text."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    epochs: int = 50
    regime: Regime = _OF_PLAN
    alpha_learning_rate: float = 3e-3
    alpha_weight_decay: float = 1e-3
    order: Literal[1, 2] = 1
    seeds: int = 1  # searches, of which the best on the validation text is kept
    judge_epochs: int = 5  # that a model around the cell of each seed is trained for, to be judged
    networks: int = 4  # random cells beside the result of each seed, where they are asked for

    def __post_init__(self) -> None:
        for name in ("epochs", "seeds", "judge_epochs", "networks"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.order not in {1, 2}:
            raise ValueError(f"order={self.order} must be 1 or 2")
        if not (0 < self.alpha_learning_rate < inf and 0 <= self.alpha_weight_decay < inf):
            raise ValueError("alpha_learning_rate must be above 0, alpha_weight_decay not below it")


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTrainSettings:
    """How a language model is trained: SGD until validation has not improved for long, then averaged SGD."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    regime: Regime = _OF_PLAN
    epochs: int = 20  # passes over the text in a whole run; single commands say steps or minutes instead
    evaluate_every: int = 200  # steps
    patience: int = 5  # evaluations that may pass without a better one before weights are averaged

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.evaluate_every < 1 or self.patience < 0:
            raise ValueError("epochs and evaluate_every must be at least 1, patience not negative")
