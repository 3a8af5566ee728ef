"""The plan of a language run: what its folder remembers between commands."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from latency_tables.table_file import load_table
from pipeline.architecture import Architecture
from pipeline.budget import Budget, Goal, Reach
from pipeline.recurrent.settings import CellSearchSettings, CellTrainSettings, Level
from pipeline.search_task import SearchResult
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from profilers.files import read_json, write_json

if TYPE_CHECKING:
    from pipeline.recurrent.search import CellSearchTask
    from pipeline.recurrent.text import Corpus

# Version of language.json. 1: first version.
SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TableBudget:
    """A latency table, and the budget of a step on its target."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    table: str
    budget: str

    def __post_init__(self) -> None:
        Budget.parse(self.budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguagePlan:
    """A text, the size of its cell, budgets, and how to search and train."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    text: str
    level: Level
    hidden: int
    targets: tuple[TableBudget, ...] = ()
    seed: int = 0
    search: CellSearchSettings
    train: CellTrainSettings

    def save(self, folder: Path) -> None:
        write_json(folder / "language.json", {"schema": SCHEMA, **asdict(self)})


def load_language_plan(folder: Path) -> LanguagePlan:
    """The plan of a run's folder; raises FileError."""
    return read_json(folder / "language.json", LanguagePlan, kind="plan of a language run", schema=SCHEMA)


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """Where everything of a run lies. The text is read when asked for."""

    folder: Path
    plan: LanguagePlan

    @cached_property
    def corpus(self) -> Corpus:
        from pipeline.recurrent.text import load_corpus

        return load_corpus(Path(self.plan.text), self.plan.level)

    @cached_property
    def space(self) -> SearchSpace:
        return parse_space(space_name(self.plan.hidden, len(self.corpus.vocabulary)))

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        """The budgets in ms; raises MissingOpError where a table does not cover the space."""
        goals = []
        for target in self.plan.targets:
            table, budget = load_table(Path(target.table)), Budget.parse(target.budget)
            budget_ms = budget.resolve_ms(Reach.of(self.space, table))
            goals.append(Goal(table=table, budget_ms=budget_ms, confidence=budget.confidence))
        return tuple(goals)

    def search_task(self) -> CellSearchTask:
        from pipeline.recurrent.search import CellSearchTask

        return CellSearchTask(
            space=self.space,
            corpus=self.corpus,
            goals=self.goals,
            settings=self.plan.search,
            seed=self.plan.seed,
            path=self.folder / "search" / "checkpoint.safetensors",
        )

    @property
    def search_result_path(self) -> Path:
        return self.folder / "search" / "result.json"

    @property
    def architecture_path(self) -> Path:
        return self.folder / "architecture.json"

    def derive(self) -> Architecture:
        """The cell that the search found, under the plan's budgets. Raises FileError, BudgetError."""
        return SearchResult.load(self.search_result_path).derive(self.space, self.goals)

    def architecture(self) -> Architecture:
        return Architecture.load(self.architecture_path)


def space_name(hidden: int, vocab: int) -> str:
    """The text of the space, as other commands take it."""
    return parse_space(f"darts-rnn?hidden={hidden}&vocab={vocab}").name
