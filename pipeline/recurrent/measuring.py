"""What a step takes on a target, beside what the run's tables predict of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch

from latency_tables.table import Latency
from pipeline.architecture import Architecture
from pipeline.recurrent.cell import DartsCell
from pipeline.recurrent.language_model import LanguageModel
from pipeline.recurrent.models import trained_model
from pipeline.recurrent.plan import LanguageRun
from pipeline.recurrent.report import MeasuredStep
from pipeline.recurrent.space import choices_of
from pipeline.recurrent.step import PackedStep, StepModel
from pipeline.watcher import Watcher
from profilers.compile_cache import CompileJob, compile_all
from profilers.measurement import Measurement
from profilers.model_files import read_model
from profilers.protocol import protocol_named
from profilers.sweep import sweep
from profilers.target import Target

FILE = "exported"  # what a file that is measured beside cells is called


def measured_steps(
    run: LanguageRun,
    cells: Sequence[str],
    targets: Sequence[str],
    watch: Watcher,
    protocol: str,
    *,
    files: Mapping[str, Path] = MappingProxyType({}),
) -> list[MeasuredStep]:
    """Steps side by side, each as a file of one input and one output; a call after a kill goes on.

    `files` are ready ones by runtime, measured in the same turns as FILE.
    """
    models = {cell: trained_model(run, cell) for cell in cells}
    found = []
    for target in map(Target.parse, targets):
        jobs = {cell: _job(model, target) for cell, model in models.items()}
        work = compile_all(jobs, on_progress=partial(watch.progress, f"compile for {target}"))
        if target.runtime in files:
            work = {**work, FILE: read_model(files[target.runtime])}
        measured = sweep(
            work,
            target,
            protocol_named(protocol),
            run.folder / "measurements" / f"{target.slug}.{protocol}.jsonl",
            on_progress=partial(watch.progress, str(target)),
            notify=watch.note,
        )
        found += [_step(run, models.get(cell), cell, target, measured[cell], protocol) for cell in work]
    return found


def _step(
    run: LanguageRun, model: LanguageModel | None, cell: str, target: Target, measured: Measurement, protocol: str
) -> MeasuredStep:
    latency = Latency.of(measured)
    return MeasuredStep(
        target=str(target),
        cell=cell,
        measured_ms=latency.ms(protocol_named(protocol).statistic),
        p90_ms=measured.p90_ms,
        spread=latency.spread,
        samples=latency.samples,
        verdict=latency.verdict,
        predicted_ms=None if model is None else _predicted_ms(run, model, target),
        device=dict(measured.environment.facts),
    )


def _job(model: LanguageModel, target: Target) -> CompileJob:
    size, states = model.recurrent.size, len(model.recurrent.initial(1))
    packed = PackedStep(StepModel(model), states).eval()
    example = torch.randn(1, 1 + states * size, 1, 1, generator=torch.Generator().manual_seed(0))
    return CompileJob(target.runtime, packed, example, target.precision)


def _predicted_ms(run: LanguageRun, model: LanguageModel, target: Target) -> float | None:
    cell = model.cell
    tables = [goal.table for goal in run.goals if goal.target == target]
    if not (tables and isinstance(cell, DartsCell) and len(cell.genotype.nodes) == len(run.space.decisions)):
        return None
    return tables[0].network_ms(Architecture(run.space, choices_of(run.space, cell.genotype)).ops())
