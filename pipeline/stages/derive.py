"""Stage `derive`: the best network within every budget, confirmed on the targets before hours go into training it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.architecture import Architecture
from pipeline.budget import Goal
from pipeline.profiling import compile_job, network_name
from pipeline.run import Run
from pipeline.search_task import SearchResult
from pipeline.stage import Stage
from profilers.compile_cache import compile_all
from profilers.errors import MillisError
from profilers.measurement import Measurement
from profilers.sweep import sweep

# How far under its budget a network must come when it is confirmed, so that it still does when measured again.
MARGIN = 0.02
ATTEMPTS = 8


def _inputs(run: Run) -> Sequence[object]:
    budgets = [[target.target, target.budget] for target in run.plan.targets]
    tables = [run.table_path(target) for target in run.plan.targets]
    return [run.search_result_path, run.space.name, budgets, run.plan.profile.protocol, *tables]


def _outputs(run: Run) -> Sequence[Path]:
    return [run.architecture_path]


def _perform(run: Run) -> None:
    derive_confirmed(run, SearchResult.load(run.search_result_path)).save(run.architecture_path)


def derive_confirmed(run: Run, result: SearchResult) -> Architecture:
    """Derive, measure, and derive again under a tighter budget while a target says that it is not met.

    Raises BudgetError where no network is predicted to meet the budgets, MillisError where none is found to.
    """
    goals = run.goals
    asked = goals
    for _ in range(ATTEMPTS):
        architecture = result.derive(run.space, goals)
        measured = [_measure(run, architecture, goal) for goal in goals]
        goals = tuple(
            _tightened(run, goal, original, measurement)
            for goal, original, measurement in zip(goals, asked, measured, strict=True)
        )
        if all(_meets(goal, measurement) for goal, measurement in zip(asked, measured, strict=True)):
            return architecture
    raise MillisError(
        f"{ATTEMPTS} networks in a row were predicted to meet the budget and measured slower: the tables no longer fit "
        f"this machine; is it busy? Else measure them again (delete {run.folder / 'tables'})"
    )


def _meets(goal: Goal, measurement: Measurement) -> bool:
    return measurement.median_ms <= goal.budget_ms * (1 - MARGIN)


def _tightened(run: Run, goal: Goal, asked: Goal, measurement: Measurement) -> Goal:
    """The goal lowered by as much as the network missed it, and a little more so that tries differ."""
    if _meets(asked, measurement):
        return goal
    run.watch.note(
        f"{goal.target}: derived network takes {measurement.median_ms:.4g} ms of {asked.budget_ms:.4g} ms "
        f"(less {MARGIN:.0%}); deriving again"
    )
    missed = measurement.median_ms / (asked.budget_ms * (1 - MARGIN))
    return replace(goal, budget_ms=goal.budget_ms / missed * 0.998)


def _measure(run: Run, architecture: Architecture, goal: Goal) -> Measurement:
    name = network_name(architecture)
    runtime = goal.target.runtime
    artifacts = compile_all({name: compile_job(architecture.ops(), runtime)})
    journal = run.folder / "derive" / f"{goal.target.slug}.measurements.jsonl"
    return sweep(artifacts, goal.target, goal.table.protocol, journal)[name]


DERIVE = Stage(name="derive", inputs=_inputs, work="derive", outputs=_outputs, perform=_perform)
