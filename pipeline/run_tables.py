"""The latency tables of a run of any kind: where they lie, and the budgets that they turn into milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from latency_tables.table import LatencyTable
from latency_tables.table_file import load_table
from pipeline.budget import Budget, Goal, Reach
from pipeline.plan import TargetPlan
from pipeline.space import SearchSpace
from profilers.errors import FileError
from profilers.target import Target


def table_path(folder: Path, target: TargetPlan) -> Path:
    """The table that a target brings, or the one that a run in this folder measures for it."""
    if target.table is not None:
        return Path(target.table)
    return folder / "tables" / f"{Target.parse(target.target).slug}.yaml"


def table_of(folder: Path, target: TargetPlan) -> LatencyTable:
    """The table of a target; raises FileError where it was measured on another one."""
    path = table_path(folder, target)
    table = load_table(path)
    if table.target != Target.parse(target.target):
        raise FileError(f"{path}: target: a table of {table.target}, but the plan names it for {target.target}")
    return table


def goals_of(folder: Path, targets: Sequence[TargetPlan], space: SearchSpace) -> tuple[Goal, ...]:
    """The budgets in ms; raises MissingOpError where a table does not cover the space."""
    goals = []
    for target in targets:
        table, budget = table_of(folder, target), Budget.parse(target.budget)
        budget_ms = budget.resolve_ms(Reach.of(space, table))
        goals.append(Goal(table=table, budget_ms=budget_ms, confidence=budget.confidence))
    return tuple(goals)
