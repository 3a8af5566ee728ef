"""What a search is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal
from pipeline.derivation import derive, require_feasible
from pipeline.space import SearchSpace
from profilers.errors import FileError, MillisError
from profilers.files import read_json, write_json

if TYPE_CHECKING:
    from pipeline.data import Data

# Version of the search result file. 1: log-probabilities, or the networks that were tried.
SCHEMA = 1


class SearchError(MillisError):
    """A search that diverged, or whose result does not fit what is asked of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """How a search is run. `epochs` passes over the weight split are what it may cost, whatever the strategy."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    strategy: str = "proxyless"
    epochs: int = 40
    warmup_epochs: int = 10  # of them, with weights alone learning
    batch_size: int = 64
    learning_rate: float = 0.05
    weight_decay: float = 4e-5
    label_smoothing: float = 0.1
    alpha_learning_rate: float = 0.02
    weight_steps: int = 2  # between two architecture steps
    paths: Literal["two", "full"] = "two"
    networks: int = 4  # that random search trains

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "weight_steps", "networks", "learning_rate", "alpha_learning_rate"):
            if not 0 < getattr(self, name) < inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number above 0")
        if not 0 <= self.warmup_epochs < self.epochs:
            raise ValueError(f"warmup_epochs={self.warmup_epochs} must lie in 0..{self.epochs - 1}, below epochs")
        if not (0 <= self.label_smoothing < 1 and 0 <= self.weight_decay < inf):
            raise ValueError("label_smoothing must lie in 0..1, 1 excluded, and weight_decay not below 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchTask:
    """A space, data to learn from, and the budgets to keep."""

    space: SearchSpace
    data: Data
    goals: tuple[Goal, ...]
    settings: SearchSettings
    seed: int
    folder: Path  # where checkpoint and weights are kept

    @property
    def identity(self) -> dict[str, object]:
        """What a checkpoint must agree with to be gone on from."""
        return {
            "space": self.space.name,
            "data": self.data.name,
            "settings": asdict(self.settings),
            "seed": self.seed,
            "goals": {str(goal.target): goal.budget_ms for goal in self.goals},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEpoch:
    """One epoch of a search: mean loss of the weight steps, accuracy in 0..1, latency and its multiplier by target."""

    epoch: int  # counted from 1
    phase: Literal["warmup", "search"]
    loss: float
    accuracy: float
    expected_ms: Mapping[str, float]
    multiplier: Mapping[str, float]


OnSearchEpoch = Callable[[SearchEpoch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A network that was trained during the search, and its accuracy on the architecture split."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    choices: Mapping[str, str]
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A distribution over architectures, or the networks that were tried; either derives under any budget."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    strategy: str
    space: str
    log_probability: Mapping[str, Mapping[str, float]] | None = None
    tried: tuple[Tried, ...] = ()

    def derive(self, space: SearchSpace, goals: tuple[Goal, ...]) -> Architecture:
        """The best architecture within every budget. Raises BudgetError where there is none."""
        if self.space != space.name:
            raise SearchError(f"a search of {self.space} tells nothing of {space.name}; search that space")
        if self.log_probability is not None:
            return derive(space, self.log_probability, goals)
        ranked = sorted(self.tried, key=lambda network: -network.accuracy)
        for network in ranked:
            architecture = Architecture.from_labels(space, network.choices)
            if all(goal.is_met_by(architecture) for goal in goals):
                return architecture
        require_feasible(space, goals)  # where the budgets can be met, it was these networks that did not
        raise BudgetError(
            f"none of the {len(self.tried)} networks that random search tried meets the budget; "
            "search again with this budget, or with more networks"
        )

    def save(self, path: Path) -> None:
        write_json(path, {"schema": SCHEMA, **asdict(self)})

    @staticmethod
    def load(path: Path) -> SearchResult:
        """Read a search result; raises FileError."""
        result = read_json(path, SearchResult, kind="search result", schema=SCHEMA)
        if result.log_probability is None and not result.tried:
            raise FileError(f"{path}: log_probability: neither a distribution nor networks that were tried")
        return result
