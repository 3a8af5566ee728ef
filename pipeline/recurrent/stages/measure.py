"""Stage `measure` of a language run: a step of each model on the targets, and the exported file beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.recurrent.measuring import measured_steps
from pipeline.recurrent.models import weights_path
from pipeline.recurrent.plan import LanguageRun
from pipeline.recurrent.report import MeasuredStep
from pipeline.recurrent.stages.export import read_step_files
from pipeline.stage import Stage
from profilers.files import read_json, sha256_of, write_json

SCHEMA = 1  # 1: every step on every target


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSteps:
    """All that was measured."""

    steps: tuple[MeasuredStep, ...]


def read_steps(run: LanguageRun) -> tuple[MeasuredStep, ...]:
    return read_json(_record(run), MeasuredSteps, kind="record of measurements", schema=SCHEMA).steps


def _record(run: LanguageRun) -> Path:
    return run.folder / "measurements" / "measured.json"


def _inputs(run: LanguageRun) -> Sequence[object]:
    weights = [weights_path(run, cell) for cell in run.plan.cells]
    sums = [sha256_of(run.folder / each.path) for each in read_step_files(run)]
    tables = [run.table_path(target) for target in run.plan.targets]
    targets = [target.target for target in run.plan.targets]
    return [run.plan.profile.protocol, targets, list(run.plan.cells), sums, *weights, *tables]


def _outputs(run: LanguageRun) -> Sequence[Path]:
    return [_record(run)]


def _perform(run: LanguageRun) -> None:
    files = {each.runtime: run.folder / each.path for each in read_step_files(run)}
    targets = [target.target for target in run.plan.targets]
    steps = measured_steps(run, run.plan.cells, targets, run.watch, run.plan.profile.protocol, files=files)
    write_json(_record(run), {"schema": SCHEMA, **asdict(MeasuredSteps(steps=tuple(steps)))})


MEASURE = Stage(name="measure", inputs=_inputs, work="measurements", outputs=_outputs, perform=_perform)
