"""What a language run found and how each number was obtained: `report.json`, and `report.html`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import exp, log
from pathlib import Path
from typing import ClassVar

from pipeline.recurrent.genotype import Genotype
from pipeline.recurrent.models import TrainedRecord
from pipeline.recurrent.search import CellSearchEpoch
from pipeline.recurrent.step_file import StepFile
from pipeline.report import CalibrationPoint, rendered, settings_of
from profilers.files import read_json, write_atomic, write_json
from profilers.target import Target

SCHEMA = 1  # of report.json. 1: first version

_STRICT: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCell:
    """A cell, and the best validation loss of a model around it, nats a token; predicted latency by target."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    genotype: str
    validation_loss: float
    steps: int
    predicted_ms: Mapping[str, float]

    @property
    def perplexity(self) -> float:
        return exp(self.validation_loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSeeds:
    """The cells of the seeds that a search is the best of."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    seeds: Mapping[int, JudgedCell]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBaseline:
    """The cell found beside random ones, each in a model that was trained for `epochs` from scratch."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    epochs: int
    found: JudgedCell
    random: tuple[JudgedCell, ...]

    @property
    def rivals(self) -> dict[str, JudgedCell]:
        """By what they are called."""
        best = min(self.random, key=lambda cell: cell.validation_loss)
        return {"found": self.found, f"best of {len(self.random)} random": best}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """One step of a trained model; the prediction is that of the table of the run's target, where it has one."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    target: str
    cell: str
    measured_ms: float  # what counts under the protocol
    p90_ms: float
    spread: float
    samples: int
    verdict: str
    predicted_ms: float | None
    device: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """A step of the searched cell on one target; `fastest_ms` and `slowest_ms` are the ends of the space, as predicted.

    Predicted and measured are of a file of one input and one output, as the table's networks are; `exported` is the
    very file that ships, which must keep the budget.
    """

    target: str
    budget: str  # as the user wrote it: 0.05ms, 40%
    budget_ms: float
    fastest_ms: float
    slowest_ms: float
    predicted_ms: float
    measured_ms: float
    p90_ms: float
    spread: float
    samples: int
    exported: MeasuredStep
    beside_ms: Mapping[str, float]  # measured of other cells
    device: Mapping[str, str]
    calibration: tuple[CalibrationPoint, ...] = ()

    @property
    def within_budget(self) -> bool:
        return self.exported.measured_ms <= self.budget_ms

    @property
    def error(self) -> float:
        """How far measured lies from predicted, relative to predicted."""
        return self.measured_ms / self.predicted_ms - 1

    @property
    def how(self) -> str:
        """What every latency of this target was measured on, in one phrase."""
        return settings_of(Target.parse(self.target), self.device["runtime_version"], "one token")


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageReport:
    """Everything a reader needs to judge a run. The test part of the text is used once for each model."""

    millis_version: str
    name: str
    text: str
    level: str
    vocabulary: int
    tokens: Mapping[str, int]  # of each part of the text
    space: str
    order: int
    seed: int
    genotype: str
    params: int
    macs: int  # of one step
    wall_s: float
    stages: Mapping[str, float]  # seconds
    models: tuple[TrainedRecord, ...]  # the searched one first
    files: tuple[StepFile, ...]
    targets: tuple[StepReport, ...]
    search: tuple[CellSearchEpoch, ...]
    seeds: Mapping[int, JudgedCell]
    baseline: CellBaseline | None = None

    @property
    def cell(self) -> Genotype:
        return Genotype.parse(self.genotype)

    @property
    def perplexity(self) -> float:
        """Of the searched model on the test text."""
        return exp(self.models[0].test_loss)

    @property
    def bits(self) -> float:
        return self.models[0].test_loss / log(2)


def write_report(report: LanguageReport, folder: Path) -> None:
    """Write `report.json` and `report.html` into the folder of a run."""
    write_json(folder / "report.json", {"schema": SCHEMA, **asdict(report)})
    write_atomic(folder / "report.html", render_html(report))


def read_report(folder: Path) -> LanguageReport:
    """The report of a run; raises FileError naming file and field."""
    return read_json(folder / "report.json", LanguageReport, kind="report of a language run", schema=SCHEMA)


def render_html(report: LanguageReport) -> str:
    """One page that needs nothing else."""
    from pipeline import pictures
    from pipeline.recurrent import pictures as cells

    return rendered("language.html", {"report": report, "pictures": pictures, "cells": cells})
