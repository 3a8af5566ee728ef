"""The plan of a run: what a recipe says, and what the folder of a run remembers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, TypeVar, get_args

from deploy.packager import Packager
from deploy.packagers import load_packager
from pipeline.budget import Budget
from pipeline.search_settings import SearchSettings
from pipeline.strategies import STRATEGIES
from pipeline.train_settings import TrainSettings
from profilers.errors import FileError, MillisError
from profilers.files import check, is_file_name, read_json, read_yaml, write_json
from profilers.precision import Precision
from profilers.protocol import protocol_named
from profilers.target import Target

T = TypeVar("T")

# Version of recipes and of plan.json. 1: first version. 2: bundles stand beside the targets, not in them; precisions
# and max_accuracy_drop; targets of any precision.
SCHEMA = 2

_STRICT: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPlan:
    """A target and the budget to keep there."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    target: str
    budget: str
    table: str | None = None  # of a table that exists; by default the run measures its own

    def __post_init__(self) -> None:
        target = _checked(lambda: Target.parse(self.target))
        Budget.parse(self.budget)
        if target.batch != 1:
            raise ValueError(f"target {self.target}: a run searches and ships for one image at a time; leave batch out")

    @property
    def parsed(self) -> Target:
        return Target.parse(self.target)


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
    """A whole run: a space, data, targets with budgets, how to profile, search and train, and what to ship.

    A target's precision is that of the table by which the network is searched; in which precision it is shipped is
    chosen afterwards by measuring each, among `precisions` or else all that a bundle may hold.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str = ""  # of the network; by default the recipe's file name
    space: str
    data: str
    data_root: str | None = None
    targets: tuple[TargetPlan, ...]
    bundles: tuple[str, ...] = ()
    precisions: tuple[Precision, ...] = ()
    max_accuracy_drop: float = 0.5  # points of validation accuracy that a precision may lose against fp32
    seed: int = 0
    profile: ProfilePlan = field(default_factory=ProfilePlan)
    search: SearchSettings = field(default_factory=SearchSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    start: Literal["scratch", "search"] = "scratch"  # the weights that training starts from
    baseline: bool = False  # also random networks at equal cost, and the best of them beside the result

    def __post_init__(self) -> None:
        if self.name and not is_file_name(self.name):
            raise ValueError(f"name: {self.name!r}: write letters, digits, dots, dashes and underscores")
        if self.search.strategy not in STRATEGIES:
            raise ValueError(f"search.strategy: no {self.search.strategy!r}; there are: {', '.join(STRATEGIES)}")
        if self.baseline and self.search.strategy == "random":
            raise ValueError("baseline: random networks are what search.strategy random tries; choose another strategy")
        if not self.targets:
            raise ValueError("targets: name at least one target with its budget")
        _require_distinct("targets: target", [str(Target.parse(target.target)) for target in self.targets])
        self._check_shipping()

    def _check_shipping(self) -> None:
        """Now, and not when hours of work are to be packed."""
        _require_distinct("bundles:", self.bundles)
        _require_distinct("precisions:", self.precisions)
        for name in self.bundles:
            self._require_measured(_checked(partial(load_packager, name)))
        for precision in self.precisions:
            if precision not in get_args(Precision):
                raise ValueError(f"precisions: no {precision!r}; there are: {', '.join(get_args(Precision))}")
        if not 0 <= self.max_accuracy_drop < math.inf:
            raise ValueError(f"max_accuracy_drop={self.max_accuracy_drop} must be a number of points from 0 on")

    def _require_measured(self, packager: Packager) -> None:
        if self.suiting(packager) or packager.unmeasured:
            return
        devices, runtimes = " or ".join(packager.devices), " or ".join(packager.runtimes)
        raise ValueError(
            f"bundles: {packager.name} takes what is measured on {devices} by {runtimes} ({packager.accelerators[0]}), "
            f"and no target is such a one; add one, as {packager.devices[0]}:{packager.runtimes[0]}"
        )

    def suiting(self, packager: Packager, runtime: str | None = None) -> tuple[TargetPlan, ...]:
        """The targets that say something for a bundle, or for its files of one runtime; the likeliest device first."""
        suiting = [each for each in self.targets if packager.suits(each.parsed)]
        suiting = [each for each in suiting if runtime in {None, each.parsed.runtime}]
        return tuple(sorted(suiting, key=lambda each: packager.devices.index(each.parsed.kind)))

    def save(self, folder: Path) -> None:
        write_json(folder / "plan.json", {"schema": SCHEMA, **asdict(self)})


def load_plan(folder: Path) -> Plan:
    """The plan of a run's folder; raises FileError."""
    path, kind = folder / "plan.json", "plan of a run"
    return _plan(read_json(path, object, kind=kind), path, kind)


def load_recipe(path: Path) -> Plan:
    """A recipe; raises FileError naming file and field. Paths in it are relative to the current folder."""
    plan = _plan(read_yaml(path, object, kind="recipe"), path, "recipe")
    try:
        return replace(plan, name=plan.name or path.stem)
    except ValueError as error:
        raise FileError(f"{path}: {error}") from None


def _plan(document: object, path: Path, kind: str) -> Plan:
    if isinstance(document, dict):
        _refuse_first_version(document, path, kind)
    return check(document, Plan, path=path, kind=kind, schema=SCHEMA)


def _refuse_first_version(document: dict[object, object], path: Path, kind: str) -> None:
    """Raise FileError, with what to write instead, for bundles that stand in targets."""
    targets = document.get("targets")
    listed = [target for target in targets if isinstance(target, dict)] if isinstance(targets, list) else []
    places = [place for place, target in enumerate(listed) if "bundle" in target]
    if not places and document.get("schema") != 1:
        return
    bundles = ", ".join(str(target["bundle"]) for target in listed if target.get("bundle"))
    instead = f" and, beside targets, bundles: [{bundles}] in place of each target's bundle" if bundles else ""
    where = f"targets.{places[0]}.bundle" if places else "schema"
    raise FileError(
        f"{path}: {where}: since version 2 of a {kind} bundles have a list of their own; write schema: 2{instead}"
    )


def _require_distinct(what: str, values: tuple[str, ...] | list[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ValueError(f"{what} {repeated[0]} is named twice")


def _checked(parse: Callable[[], T]) -> T:
    """Run a parser of ours inside a pydantic check, which takes only ValueError for an answer."""
    try:
        return parse()
    except MillisError as error:
        raise ValueError(str(error)) from None
