"""Stage `derive`: the best network within every budget, confirmed on the targets before hours go into training it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.kind import Kind
from latency_tables.table import Latency
from pipeline.architecture import Architecture
from pipeline.budget import Goal
from pipeline.profiling import network_name
from pipeline.run import Run
from pipeline.search_task import SearchResult
from pipeline.stage import Stage
from profilers.compile_cache import compile_all
from profilers.errors import MillisError
from profilers.sweep import sweep

if TYPE_CHECKING:
    from pipeline.recurrent.plan import LanguageRun

# How far under its budget a network must come when it is confirmed, so that it still does when measured again.
MARGIN = 0.02
ATTEMPTS = 8


def _inputs(run: Run | LanguageRun) -> Sequence[object]:
    budgets = [[target.target, target.budget] for target in run.plan.targets]
    tables = [run.table_path(target) for target in run.plan.targets]
    return [run.search_result_path, run.space.name, budgets, run.plan.profile.protocol, *tables]


def _outputs(run: Run | LanguageRun) -> Sequence[Path]:
    return [run.architecture_path]


def _perform(run: Run | LanguageRun) -> None:
    derive_confirmed(run, SearchResult.load(run.search_result_path)).save(run.architecture_path)


def derive_confirmed(run: Run | LanguageRun, result: SearchResult) -> Architecture:
    """Derive, measure, and derive again under a tighter budget while a target says that it is not met.

    Raises BudgetError where no network is predicted to meet the budgets, MillisError where none is found to.
    """
    goals = run.goals
    asked = goals
    for _ in range(ATTEMPTS):
        architecture = result.derive(run.space, goals)
        measured = _measured_ms(run, architecture, goals)
        missed = [ms > _limit_ms(goal) for goal, ms in zip(asked, measured, strict=True)]
        if not any(missed):
            return architecture
        goals = tuple(
            _tightened(run, goal, original, ms, architecture) if too_slow else goal
            for goal, original, ms, too_slow in zip(goals, asked, measured, missed, strict=True)
        )
    tables = ", ".join(str(goal.table.path) for goal in asked)
    raise MillisError(
        f"{ATTEMPTS} networks in a row were predicted to meet the budget and measured slower: the tables no longer fit "
        f"this machine; is it busy? Else measure them again: {tables}"
    )


def _limit_ms(goal: Goal) -> float:
    return goal.budget_ms * (1 - MARGIN)


def _tightened(run: Run | LanguageRun, goal: Goal, asked: Goal, measured_ms: float, architecture: Architecture) -> Goal:
    """The goal lowered by as much as this network was predicted too fast, so that it is not derived again."""
    run.watch.note(
        f"{goal.target}: derived network takes {measured_ms:.4g} ms of {asked.budget_ms:.4g} ms (less {MARGIN:.0%}); "
        "deriving again"
    )
    predicted_ms = goal.table.network_ms(architecture.ops())
    return replace(goal, budget_ms=min(goal.budget_ms, _limit_ms(asked) * predicted_ms / measured_ms))


def _measured_ms(run: Run | LanguageRun, architecture: Architecture, goals: Sequence[Goal]) -> list[float]:
    """The latency of the file to ship in each target's precision, with seeded weights: they time as trained ones do."""
    kinds = {Kind(goal.target.runtime, goal.target.precision) for goal in goals}
    artifacts = compile_all({kind.name: run.file_job(architecture.graph(), kind) for kind in kinds})
    name = network_name(architecture)
    measured = []
    for goal in goals:
        journal = run.folder / "derive" / f"{goal.target.slug}.measurements.jsonl"
        work = {name: artifacts[Kind(goal.target.runtime, goal.target.precision).name]}
        protocol = goal.table.protocol
        measurement = sweep(work, goal.target, protocol, journal, notify=run.watch.note)[name]
        measured.append(Latency.of(measurement).ms(protocol.statistic))
    return measured


DERIVE = Stage(name="derive", inputs=_inputs, work="derive", outputs=_outputs, perform=_perform)
