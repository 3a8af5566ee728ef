"""The plan of a language run: what its recipe says, and what its folder remembers between commands."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from latency_tables.table import LatencyTable
from pipeline.architecture import Architecture
from pipeline.budget import Goal
from pipeline.plan import ProfilePlan, TargetPlan
from pipeline.recurrent.genotype import GenotypeError, genotype_named
from pipeline.recurrent.settings import (
    CellSearchSettings,
    CellTrainSettings,
    Level,
    usual_search_regime,
    usual_train_regime,
)
from pipeline.run_tables import goals_of, table_of, table_path
from pipeline.search_task import SearchResult
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from pipeline.watcher import Watcher
from profilers.errors import FileError
from profilers.files import check, read_json, read_yaml, write_json

if TYPE_CHECKING:
    from deploy.kind import Kind
    from pipeline.recurrent.search import CellSearchTask
    from pipeline.recurrent.text import Corpus
    from profilers.compile_cache import CompileJob
    from profilers.graph import Graph

# Version of recipes and of language.json. 1: tables with budgets. 2: targets as other recipes name them, how they are
# profiled, random cells and other ones beside the one that is searched.
SCHEMA = 2
PLAN = "language.json"

# The cells that have no genotype of their own: the one that the search finds, and an LSTM of equal size.
SEARCHED, LSTM = "searched", "lstm"

_KIND = "recipe of a language model"


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguagePlan:
    """A text, the size of its cell, targets with budgets of a step, and how to search and train."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    name: str = ""  # by default the recipe's file name
    text: str
    level: Level = "char"
    hidden: int = 128
    targets: tuple[TargetPlan, ...] = ()  # none for a cell that nobody waits for
    seed: int = 0
    profile: ProfilePlan = field(default_factory=ProfilePlan)
    search: CellSearchSettings = field(default_factory=CellSearchSettings)
    train: CellTrainSettings = field(default_factory=CellTrainSettings)
    beside: tuple[str, ...] = ()  # cells that a run trains and measures, too: lstm, published ones, genotypes
    baseline: bool = False  # also random cells at equal cost, and the best of them beside the result

    def __post_init__(self) -> None:
        if self.hidden < 1:
            raise ValueError(f"hidden={self.hidden} must be at least 1")
        self._fill_regimes()
        named = [str(target.parsed) for target in self.targets]
        for target in self.targets:
            if named.count(str(target.parsed)) > 1:
                raise ValueError(f"targets: target {target.target} is named twice")
            if target.parsed.precision != "fp32":
                raise ValueError(f"targets: target {target.target}: steps of language models are made in fp32 alone")
        for cell in self.beside:
            _require_cell(cell)

    def _fill_regimes(self) -> None:
        search, train = self.search, self.train
        if search.regime is None:
            search = replace(search, regime=usual_search_regime(self.level, self.hidden))
        if train.regime is None:
            train = replace(train, regime=usual_train_regime(self.level, self.hidden))
        object.__setattr__(self, "search", search)  # the only way into a frozen dataclass
        object.__setattr__(self, "train", train)

    @property
    def cells(self) -> tuple[str, ...]:
        """What a run trains and measures."""
        return tuple(dict.fromkeys((SEARCHED, *self.beside)))

    def save(self, folder: Path) -> None:
        write_json(folder / PLAN, {"schema": SCHEMA, **asdict(self)})


def _require_cell(cell: str) -> None:
    try:
        if cell != LSTM:
            genotype_named(cell)
    except GenotypeError as error:
        raise ValueError(f"beside: {error}") from None


def load_language_plan(folder: Path) -> LanguagePlan:
    """The plan of a run's folder; raises FileError."""
    return read_json(folder / PLAN, LanguagePlan, kind="plan of a language run", schema=SCHEMA)


def is_language_recipe(path: Path) -> bool:
    """Whether a recipe names a text, where those of image classifiers name a space and data; raises FileError."""
    document = read_yaml(path, object, kind="recipe")
    return isinstance(document, dict) and "text" in document


def load_language_recipe(path: Path) -> LanguagePlan:
    """A recipe of a language model; raises FileError naming file and field. Paths in it are as in other recipes."""
    document = read_yaml(path, object, kind=_KIND)
    if isinstance(document, dict) and "bundles" in document:
        raise FileError(
            f"{path}: bundles: they hold image classifiers; a language model is exported as step.onnx and step.tflite "
            "with its vocabulary beside them; leave bundles out"
        )
    plan = check(document, LanguagePlan, path=path, kind=_KIND, schema=SCHEMA)
    return replace(plan, name=plan.name or path.stem)


@dataclass(frozen=True, kw_only=True)
class LanguageRun:
    """Where everything of a run lies. The text is read when asked for."""

    folder: Path
    plan: LanguagePlan
    watch: Watcher

    @cached_property
    def corpus(self) -> Corpus:
        from pipeline.recurrent.text import load_corpus

        return load_corpus(Path(self.plan.text), self.plan.level)

    @property
    def data_facts(self) -> str:
        """What a run tells of its text before anything long; raises FileError where it cannot be read."""
        corpus = self.corpus
        return (
            f"{corpus.name}: {len(corpus.train)} tokens to train on, {len(corpus.validation)} to choose the cell by, "
            f"{len(corpus.test)} to test on; a vocabulary of {len(corpus.vocabulary)}"
        )

    @cached_property
    def space(self) -> SearchSpace:
        return parse_space(space_name(self.plan.hidden, len(self.corpus.vocabulary)))

    def table_path(self, target: TargetPlan) -> Path:
        return table_path(self.folder, target)

    def table(self, target: TargetPlan) -> LatencyTable:
        return table_of(self.folder, target)

    @cached_property
    def goals(self) -> tuple[Goal, ...]:
        """The budgets in ms; raises MissingOpError where a table does not cover the space."""
        return goals_of(self.folder, self.plan.targets, self.space)

    def file_job(self, graph: Graph, kind: Kind) -> CompileJob:
        """How the file is compiled whose latency is to keep the budget: as the networks of its table are."""
        from pipeline.profiling import compile_job

        return compile_job(graph, kind.runtime, precision=kind.precision)

    def search_task(self) -> CellSearchTask:
        from pipeline.recurrent.search import CellSearchTask

        return CellSearchTask(
            space=self.space,
            corpus=self.corpus,
            goals=self.goals,
            settings=self.plan.search,
            seed=self.plan.seed,
            folder=self.folder / "search",
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
