"""The plan of a run: what a recipe says, and what the folder of a run remembers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from pipeline.budget import Budget
from pipeline.search_task import SearchSettings
from pipeline.train_settings import TrainSettings
from profilers.errors import MillisError
from profilers.files import read_json, read_yaml, write_json
from profilers.target import Target

# Version of recipes and of plan.json. 1: first version.
SCHEMA = 1

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
        _checked(lambda: Target.parse(self.target))
        Budget.parse(self.budget)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilePlan:
    """How a run measures its tables: a protocol, and how many whole networks calibrate them."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    protocol: str = "standard"
    networks: int = 8

    def __post_init__(self) -> None:
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
    start: Literal["scratch", "search"] = "search"  # the weights that training starts from

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("targets: name at least one target with its budget")
        for field_name in ("target", "bundle"):
            counts = Counter(getattr(target, field_name) for target in self.targets)
            repeated = [value for value, count in counts.items() if value is not None and count > 1]
            if repeated:
                raise ValueError(f"targets: {field_name} {repeated[0]} is named twice")

    def save(self, folder: Path) -> None:
        write_json(folder / "plan.json", {"schema": SCHEMA, **asdict(self)})


def load_plan(folder: Path) -> Plan:
    """The plan of a run's folder; raises FileError."""
    return read_json(folder / "plan.json", Plan, kind="plan of a run", schema=SCHEMA)


def load_recipe(path: Path) -> Plan:
    """A recipe; raises FileError naming file and field. Paths in it are relative to the current folder."""
    plan = read_yaml(path, Plan, kind="recipe", schema=SCHEMA)
    return replace(plan, name=plan.name or path.stem)


def _checked(parse: Callable[[], object]) -> None:
    """Run a parser of ours inside a pydantic check, which takes only ValueError for an answer."""
    try:
        parse()
    except MillisError as error:
        raise ValueError(str(error)) from None
