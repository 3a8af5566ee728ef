"""Small searches, stopped and gone on from, and what they leave to compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from latency_tables.table import LatencyTable
from pipeline.budget import Goal, Reach
from pipeline.checkpoint import load_state
from pipeline.data import Data
from pipeline.data.splits import Split
from pipeline.search_loop import CHECKPOINT, GradientSearch, SearchLoop
from pipeline.search_task import SearchEpoch, SearchTask
from pipeline.space import SearchSpace
from pipeline.strategies import load_strategy

TaskOf = Callable[..., SearchTask]


def quiet(_: SearchEpoch) -> None:
    pass


def few(data: Data, weights: int, architecture: int) -> Data:
    """So many images of each split: steps of milliseconds."""
    splits = (data.weights, weights), (data.architecture, architecture)
    one, other = (Split(source=split.source, indices=split.indices[:count]) for split, count in splits)
    return replace(data, weights=one, architecture=other)


def between(space: SearchSpace, table: LatencyTable, share: float = 0.5) -> Goal:
    """A budget at that share of the way from the fastest network to the slowest."""
    reach = Reach.of(space, table)
    return Goal(table=table, budget_ms=reach.fastest_ms + share * (reach.slowest_ms - reach.fastest_ms))


def loop_of(task: SearchTask) -> SearchLoop:
    strategy = load_strategy(task.settings.strategy)
    assert isinstance(strategy, GradientSearch)
    return SearchLoop.begin(task, strategy.begin(task))


def stopped_after(task: SearchTask, steps: int) -> SearchLoop:
    """A search that keeps what it has after so many steps, in a process that goes on to draw other numbers."""
    loop = loop_of(task)
    training, validation = loop.batches()
    for _ in range(steps):
        loop.advance(training, validation)
    loop.save()
    torch.manual_seed(steps)
    return loop


def left_by(task: SearchTask) -> list[Any]:
    """Everything that its checkpoint holds."""
    return flat(load_state(task.folder / CHECKPOINT))


def flat(tree: Any) -> list[Any]:
    """The leaves of a state; tensors as lists of numbers."""
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in flat(value)]
    if isinstance(tree, list | tuple):
        return [leaf for value in tree for leaf in flat(value)]
    return [tree.tolist()] if isinstance(tree, Tensor) else [tree]
