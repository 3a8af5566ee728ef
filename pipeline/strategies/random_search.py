"""Random search: the baseline that every other strategy must beat, at equal cost and equal latency.

Random networks at the budget are trained one after another; together they cost what the settings allow a search. The
one that is best on the architecture split wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal
from pipeline.checkpoint import load_weights, save_weights
from pipeline.collapse import parameterless
from pipeline.data.seeding import generator
from pipeline.derivation import derive
from pipeline.search_task import OnSearchEpoch, SearchEpoch, SearchResult, SearchTask, Tried
from pipeline.space import SearchSpace
from pipeline.strategies import load_strategy
from pipeline.training import EpochResult
from pipeline.trial import try_out

# Networks are drawn from this share of the first budget on: a baseline of faster networks would be no baseline. Where a
# space is too coarse for that, the floor gives way.
FLOORS = (0.95, 0.9, 0.8, 0.0)

# What is drawn stays this far below the budgets, as a derived network must when it is confirmed on the device.
HEADROOM = 0.03

# How often each network may be drawn anew when it was drawn before.
DRAWS = 10


@dataclass(frozen=True, slots=True)
class RandomSearch:
    """Networks one after another."""

    def planned_epochs(self, task: SearchTask) -> int:
        return networks_of(task) * epochs_each(task)

    def cost(self, task: SearchTask) -> float:
        """What a search of the task's strategy costs; of `random` itself, what one of `proxyless` would."""
        name = task.settings.strategy
        return load_strategy("proxyless" if name == "random" else name).cost(task)

    def search(self, task: SearchTask, on_epoch: OnSearchEpoch) -> SearchResult:
        """Train random networks within the budgets; goes on after the last finished epoch."""
        tried = []
        for number, architecture in enumerate(draw_all(task, networks_of(task))):
            trained = try_out(
                task,
                architecture,
                epochs=epochs_each(task),
                seed=task.seed + number,
                checkpoint=task.folder / f"network{number}.checkpoint.safetensors",
                on_epoch=lambda result, a=architecture, n=number: on_epoch(_epoch(task, a, n, result)),  # type: ignore[misc]
            )
            save_weights(_weights_path(task, architecture), trained.network)
            tried.append(Tried(choices=architecture.labels, accuracy=trained.accuracy))
        return SearchResult(strategy="random", space=task.space.name, seed=task.seed, tried=tuple(tried))

    def searched_weights(self, task: SearchTask, architecture: Architecture) -> nn.Module:
        """The network as the search trained it; raises FileError where it was not among those tried."""
        network = architecture.graph().module()
        load_weights(_weights_path(task, architecture), network)
        return network


STRATEGY = RandomSearch()


def networks_of(task: SearchTask) -> int:
    """How many networks are trained: beside another strategy, for each of its seeds."""
    beside = task.settings.strategy != "random"
    return task.settings.networks * (task.settings.seeds if beside else 1)


def epochs_each(task: SearchTask) -> int:
    """For how many epochs each network is trained, so that all together cost what a search does."""
    return max(1, round(STRATEGY.cost(task) / task.settings.networks))


class WithinBudgets(Protocol):
    """What networks are drawn for."""

    @property
    def space(self) -> SearchSpace: ...

    @property
    def goals(self) -> tuple[Goal, ...]: ...

    @property
    def seed(self) -> int: ...


def draw_all(task: WithinBudgets, wanted: int) -> tuple[Architecture, ...]:
    """So many different networks; fewer where no more turn up within the budgets."""
    drawn: dict[Architecture, None] = {}
    for number in range(DRAWS * wanted):
        drawn[draw(task, number)] = None
        if len(drawn) == wanted:
            break
    return tuple(drawn)


def draw(task: WithinBudgets, number: int) -> Architecture:
    """Uniform over the space, but within its budgets: the best network of random scores (Gumbel, arXiv:1611.01144)."""
    random = generator(task.seed, "network", number)
    scores = {
        layer.name: dict(zip(layer.labels, _gumbel(len(layer.labels), random), strict=True))
        for layer in task.space.decisions
    }
    near = tuple(replace(goal, budget_ms=goal.budget_ms * (1 - HEADROOM)) for goal in task.goals)
    for floor in FLOORS if near else ():
        try:
            return derive(task.space, scores, near, at_least=floor)
        except BudgetError:
            continue
    return derive(task.space, scores, task.goals)


def _gumbel(count: int, random: torch.Generator) -> list[float]:
    uniform = torch.rand(count, generator=random, dtype=torch.float64).clamp_min(1e-12)
    return (-(-uniform.log()).log()).tolist()


def _weights_path(task: SearchTask, architecture: Architecture) -> Path:
    return task.folder / ("-".join(map(str, architecture.choices)) + ".safetensors")


def _epoch(task: SearchTask, architecture: Architecture, number: int, result: EpochResult) -> SearchEpoch:
    expected = {str(goal.target): goal.table.network_ms(architecture.ops()) for goal in task.goals}
    before = number * epochs_each(task)
    return SearchEpoch(
        epoch=before + result.epoch,
        phase="search",
        loss=result.loss,
        accuracy=max(result.raw_accuracy, result.ema_accuracy),
        expected_ms=expected,
        multiplier={},
        parameterless=parameterless(architecture),
    )
