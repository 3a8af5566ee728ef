"""What a step takes on a target, beside what the run's tables predict of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch

from pipeline.architecture import Architecture
from pipeline.recurrent.cell import DartsCell
from pipeline.recurrent.language_model import LanguageModel
from pipeline.recurrent.models import trained_model
from pipeline.recurrent.plan import LanguageRun
from pipeline.recurrent.space import choices_of
from pipeline.recurrent.step import PackedStep, StepModel
from pipeline.watcher import Watcher
from profilers.compile_cache import CompileJob, compile_all
from profilers.protocol import protocol_named
from profilers.sweep import sweep
from profilers.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """One step of a trained model; the prediction is that of the table of the run's target, where it has one."""

    target: str
    cell: str
    measured_ms: float
    spread: float
    verdict: str
    predicted_ms: float | None


def measured_steps(
    run: LanguageRun, cells: list[str], targets: list[str], watch: Watcher, protocol: str
) -> list[MeasuredStep]:
    """Steps side by side, each as a file of one input and one output; a call after a kill goes on."""
    models = {cell: trained_model(run, cell) for cell in cells}
    found = []
    for target in map(Target.parse, targets):
        jobs = {cell: _job(model, target) for cell, model in models.items()}
        measured = sweep(
            compile_all(jobs, on_progress=partial(watch.progress, f"compile for {target}")),
            target,
            protocol_named(protocol),
            run.folder / "measurements" / f"{target.slug}.{protocol}.jsonl",
            on_progress=partial(watch.progress, str(target)),
            notify=watch.note,
        )
        for cell, each in measured.items():
            step = MeasuredStep(
                target=str(target),
                cell=cell,
                measured_ms=each.median_ms,
                spread=each.spread,
                verdict=each.verdict,
                predicted_ms=_predicted_ms(run, models[cell], target),
            )
            found.append(step)
    return found


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
