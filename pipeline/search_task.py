"""What a search is given and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal
from pipeline.derivation import derive, require_feasible
from pipeline.search_settings import SearchSettings
from pipeline.space import SearchSpace
from profilers.errors import FileError, MillisError
from profilers.files import read_json, write_json

if TYPE_CHECKING:
    from pipeline.data import Data
    from pipeline.recurrent.search import CellSearchTask

AnyTask = TypeVar("AnyTask", "SearchTask", "CellSearchTask")

# Version of the search result file. 1: log-probabilities, or the networks that were tried; of which seed.
SCHEMA = 1


class SearchError(MillisError):
    """A search that diverged, or whose result does not fit what is asked of it."""


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


def per_seed(task: AnyTask) -> list[AnyTask]:
    """One search for each seed that is asked for; where there are several, each in a folder of its own."""
    seeds = range(task.seed, task.seed + task.settings.seeds)
    if len(seeds) == 1:
        return [task]
    return [replace(task, seed=seed, folder=task.folder / f"seed{seed}") for seed in seeds]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEpoch:
    """One epoch of a search: mean loss of the weight steps, accuracy in 0..1, latency and its multiplier by target.

    `parameterless` is the share of choices without a parameter in the network that would be derived.
    """

    epoch: int  # counted from 1
    phase: Literal["warmup", "search"]
    loss: float
    accuracy: float
    expected_ms: Mapping[str, float]
    multiplier: Mapping[str, float]
    parameterless: float = 0.0


OnSearchEpoch = Callable[[SearchEpoch], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A network that was trained during the search, and its accuracy on the architecture split."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    choices: Mapping[str, str]
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The network that the search of one seed derives, and its accuracy on the architecture split once trained."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    seed: int
    choices: Mapping[str, str]
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A distribution over architectures, or the networks that were tried; either derives under any budget.

    `seed` is that of the search; `seeds` are those it was the best of, where there were several.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    strategy: str
    space: str
    log_probability: Mapping[str, Mapping[str, float]] | None = None
    tried: tuple[Tried, ...] = ()
    seed: int = 0
    seeds: tuple[Judged, ...] = ()

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
