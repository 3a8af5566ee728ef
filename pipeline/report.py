"""What a run found and how each number was obtained: `report.json`, and `report.html` with pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.collapse import DOMINANT, told_of
from pipeline.search_task import Judged, SearchEpoch
from profilers.files import read_json, write_atomic, write_json
from profilers.op_spec import OpSpec
from profilers.precision import Precision
from profilers.target import Target

if TYPE_CHECKING:
    from latency_tables.table import LatencyTable

SCHEMA = 2  # 1: first version. 2: every precision of the found network on each target, and which is shipped

_STRICT: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPoint:
    """A whole network that calibrated a table: what the others of them predict for it, and what was measured."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    predicted_ms: float
    measured_ms: float

    @staticmethod
    def all_of(table: LatencyTable) -> tuple[CalibrationPoint, ...]:
        """One for each network of the table."""
        return tuple(
            CalibrationPoint(predicted_ms=predicted_ms, measured_ms=network.measured_ms)
            for network, predicted_ms in zip(table.networks, table.calibration.left_out_ms, strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrecisionReport:
    """The found network in one precision on one target; accuracies are of this very file."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    precision: Precision
    shipped: bool
    reason: str  # why it is shipped, or why not
    measured_ms: float
    p90_ms: float
    spread: float  # interquartile range of the burst medians, relative to their median
    samples: int
    size_bytes: int
    accuracy: float  # on test_images of the test split
    test_images: int
    validation_accuracy: float  # on validation_images of the split by which the precision is chosen
    validation_images: int
    parity_max_abs_difference: float | None  # None where the file gives what is no number
    parity_top1_agreement: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReport:
    """The found network on one target; `fastest_ms` and `slowest_ms` are the ends of the space, as predicted.

    Prediction and measurement are of the target's own precision, beside which `precisions` holds the others: first what
    is shipped, which is what must keep the budget.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    target: str
    runtime_version: str
    budget: str  # as the user wrote it: 12ms, 40%
    budget_ms: float
    fastest_ms: float
    slowest_ms: float
    predicted_ms: float
    measured_ms: float  # the median
    p90_ms: float
    spread: float  # interquartile range of the burst medians, relative to their median
    samples: int
    size_bytes: int
    parity_max_abs_difference: float | None  # None where the file gives what is no number
    parity_top1_agreement: float
    bundle: str  # relative to the run, the first of `bundles`; empty where none was asked for
    bundles: tuple[str, ...]  # that this target was measured for
    device: Mapping[str, str]
    precisions: tuple[PrecisionReport, ...]
    calibration: tuple[CalibrationPoint, ...] = ()

    @property
    def shipped(self) -> PrecisionReport:
        return self.precisions[0]

    @property
    def own(self) -> PrecisionReport:
        """Of the precision that the target names."""
        return next(each for each in self.precisions if each.precision == Target.parse(self.target).precision)

    @property
    def within_budget(self) -> bool:
        return self.shipped.measured_ms <= self.budget_ms

    @property
    def error(self) -> float:
        """How far measured lies from predicted, relative to predicted."""
        return self.measured_ms / self.predicted_ms - 1

    @property
    def how(self) -> str:
        """What every latency of this target was measured on, in one phrase."""
        target = Target.parse(self.target)
        return settings_of(target, self.runtime_version, f"batch {target.batch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockReport:
    """One layer of the found network; `op` is the text of its OpSpec, an identity where the search removed it."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    name: str
    op: str
    label: str
    macs: int
    params: int
    latency_ms: Mapping[str, float]

    @property
    def spec(self) -> OpSpec:
        return OpSpec.parse(self.op)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPoint:
    """One epoch of the training of the found network; accuracy on images kept from the training."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    epoch: int
    loss: float
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One of two networks set side by side; accuracy on the architecture split, predicted latency by target."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    choices: Mapping[str, str]
    accuracy: float
    predicted_ms: Mapping[str, float]
    params: int
    macs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The network found beside the best of `networks` random ones, each trained for `epochs` from scratch."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    epochs: int
    networks: int
    found: Rival
    random: Rival

    @property
    def rivals(self) -> dict[str, Rival]:
        """By what they are called."""
        return {"found": self.found, f"best of {self.networks} random": self.random}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything a reader needs to judge a run. Accuracies are fractions of the test split, used once."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    millis_version: str
    name: str
    space: str
    data: str
    strategy: str
    seed: int
    budget_ms: Mapping[str, float]
    accuracy: float
    accuracy_interval: tuple[float, float]  # 95 %
    test_images: int
    params: int
    macs: int
    wall_s: float
    stages: Mapping[str, float]  # seconds
    targets: tuple[TargetReport, ...]
    blocks: tuple[BlockReport, ...]
    search: tuple[SearchEpoch, ...] = ()
    train: tuple[TrainPoint, ...] = ()
    parameterless: float = 0.0  # share of the choices that have no parameters
    seeds: tuple[Judged, ...] = ()  # that the search was the best of
    baseline: Baseline | None = None

    @property
    def warning(self) -> str:
        """What the choices of the network give to think of; empty where nothing does."""
        return told_of(self.parameterless) if self.parameterless > DOMINANT else ""


def finite(value: float) -> float | None:
    """None for what JSON cannot hold: no number, or an infinite one."""
    return value if math.isfinite(value) else None


def write_report(report: Report, run: Path) -> None:
    """Write `report.json` and `report.html` into the folder of a run."""
    write_json(run / "report.json", {"schema": SCHEMA, **asdict(report)})
    write_atomic(run / "report.html", render_html(report))


def read_report(run: Path) -> Report:
    """The report of a run; raises FileError naming file and field."""
    return read_json(run / "report.json", Report, kind="report", schema=SCHEMA)


def render_html(report: Report) -> str:
    """One page that needs nothing else: styles and pictures inside, no script, no request."""
    from pipeline import pictures

    return rendered("report.html", {"report": report, "pictures": pictures})


def settings_of(target: Target, runtime_version: str, given: str) -> str:
    """A target in words; `given` is what one inference gets."""
    threads = f"{target.threads} thread" + ("s" if target.threads > 1 else "")
    where = f"{target.runtime} {runtime_version} on {target.device}"
    return f"{where} {target.accelerator}, {target.precision}, {threads}, {given}"


def rendered(template: str, given: Mapping[str, object]) -> str:
    """A page of ours, of what is given to its template."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("pipeline")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= FORMATS
    return environment.get_template(template).render(given)


def significant(value: float) -> str:
    """Three significant digits without an exponent: 0.0423, 1.56, 12.3, 1235."""
    digits = next((places for places, top in enumerate((100, 10, 1, 0.1, 0.01)) if abs(value) >= top), 5)
    return f"{value:.{digits}f}"


def percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:.{digits}f} %"


def signed_percent(fraction: float, digits: int = 1) -> str:
    return f"{100 * fraction:+.{digits}f} %".replace("-", "−")  # noqa: RUF001 - a minus sign


def count(value: int) -> str:
    """A number of things with the letter of its thousands: 812, 24.1 k, 1.21 M."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if value >= size:
            return f"{significant(value / size)} {unit}"
    return str(value)


def seconds(value: float) -> str:
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{significant(value)} s"


FORMATS = {"ms": significant, "percent": percent, "count": count, "seconds": seconds}
