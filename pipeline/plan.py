"""The plan of a run: what a recipe says, and what the folder of a run remembers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

from deploy.packagers import load_packager
from pipeline.budget import Budget
from pipeline.search_settings import SearchSettings
from pipeline.strategies import STRATEGIES
from pipeline.train_settings import TrainSettings
from profilers.errors import FileError, MillisError
from profilers.files import read_json, read_yaml, write_json
from profilers.protocol import protocol_named
from profilers.runtimes import load_runtime
from profilers.target import Target

T = TypeVar("T")

# Version of recipes and of plan.json. 1: first version.
SCHEMA = 1

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")  # it becomes the name of files

_STRICT: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPlan:
    """A target, the budget to keep there, and the bundle to make for it."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    target: str
    budget: str
    bundle: str | None = None
    table: str | None = None  # of a table that exists; by default the run measures its own

    def __post_init__(self) -> None:
        target = _checked(lambda: Target.parse(self.target))
        Budget.parse(self.budget)
        if target.batch != 1:
            raise ValueError(f"target {self.target}: a run searches and ships for one image at a time; leave batch out")
        if target.precision != "fp32":
            raise ValueError(
                f"target {self.target}: a run exports fp32 models, which a table of another precision "
                "says nothing about; leave precision out, and profile that precision by millis profile"
            )
        if self.bundle is not None:  # now, and not when hours of work are to be packed
            ships = _checked(lambda: load_packager(str(self.bundle))).format
            makes = _checked(lambda: load_runtime(target.runtime)).format
            if ships != makes:
                raise ValueError(f"bundle {self.bundle} ships {ships} files, but {self.target} makes {makes} files")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePlan:
    """How a run measures its tables: a protocol, and at most how many whole networks calibrate them."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    protocol: str = "standard"
    networks: int = 24

    def __post_init__(self) -> None:
        _checked(lambda: protocol_named(self.protocol))
        if self.networks < 0:
            raise ValueError(f"networks={self.networks} must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole run: a space, data, targets with budgets, and how to profile, search and train."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str = ""  # of the network; by default the recipe's file name
    space: str
    data: str
    data_root: str | None = None
    targets: tuple[TargetPlan, ...]
    seed: int = 0
    profile: ProfilePlan = field(default_factory=ProfilePlan)
    search: SearchSettings = field(default_factory=SearchSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    start: Literal["scratch", "search"] = "scratch"  # the weights that training starts from
    baseline: bool = False  # also random networks at equal cost, and the best of them beside the result

    def __post_init__(self) -> None:
        if self.name and not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r}: write letters, digits, dots, dashes and underscores")
        if self.search.strategy not in STRATEGIES:
            raise ValueError(f"search.strategy: no {self.search.strategy!r}; there are: {', '.join(STRATEGIES)}")
        if self.baseline and self.search.strategy == "random":
            raise ValueError("baseline: random networks are what search.strategy random tries; choose another strategy")
        if not self.targets:
            raise ValueError("targets: name at least one target with its budget")
        _require_distinct("target", [str(Target.parse(target.target)) for target in self.targets])
        _require_distinct("bundle", [target.bundle for target in self.targets if target.bundle is not None])

    def save(self, folder: Path) -> None:
        write_json(folder / "plan.json", {"schema": SCHEMA, **asdict(self)})


def load_plan(folder: Path) -> Plan:
    """The plan of a run's folder; raises FileError."""
    return read_json(folder / "plan.json", Plan, kind="plan of a run", schema=SCHEMA)


def load_recipe(path: Path) -> Plan:
    """A recipe; raises FileError naming file and field. Paths in it are relative to the current folder."""
    plan = read_yaml(path, Plan, kind="recipe", schema=SCHEMA)
    try:
        return replace(plan, name=plan.name or path.stem)
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None


def _require_distinct(what: str, values: list[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"targets: {what} {repeated[0]} is named twice")


def _checked(parse: Callable[[], T]) -> T:
    """Run a parser of ours inside a pydantic check, which takes only ValueError for an answer."""
    try:
        return parse()
    except MillisError as error:
        raise ValueError(str(error)) from None
