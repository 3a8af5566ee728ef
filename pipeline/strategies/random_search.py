"""Random search: the baseline that every other strategy must beat, at equal cost and equal latency.

Random networks at the budget are trained one after another; together they cost what the settings allow a search. The
one that is best on the architecture split wins.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError
from pipeline.checkpoint import load_weights, save_weights
from pipeline.data.seeding import generator
from pipeline.derivation import derive
from pipeline.search_task import OnSearchEpoch, SearchEpoch, SearchResult, SearchSettings, SearchTask, Tried
from pipeline.train_settings import TrainSettings
from pipeline.training import EpochResult, train

# Networks are drawn from this share of the first budget on: a baseline of faster networks would be no baseline. Where a
# space is too coarse for that, the floor gives way.
FLOORS = (0.95, 0.9, 0.8, 0.0)

# What is drawn stays this far below the budgets, as a derived network must when it is confirmed on the device.
HEADROOM = 0.03

# How often each network may be drawn anew when it was drawn before.
DRAWS = 10


def planned_epochs(settings: SearchSettings) -> int:
    return settings.networks * _training(settings).epochs


def search(task: SearchTask, on_epoch: OnSearchEpoch) -> SearchResult:
    """Train `settings.networks` random networks within the budgets; goes on after the last finished epoch."""
    tried = []
    for number, architecture in enumerate(draw_all(task)):
        trained = train(
            _fresh(task, architecture, number),
            task.data,
            _training(task.settings),
            seed=task.seed + number,
            checkpoint=task.folder / f"network{number}.checkpoint.safetensors",
            on_epoch=lambda result, a=architecture, n=number: on_epoch(_epoch(task, a, n, result)),  # type: ignore[misc]
        )
        save_weights(_weights_path(task, architecture), trained.network)
        tried.append(Tried(choices=architecture.labels, accuracy=trained.accuracy))
    return SearchResult(strategy="random", space=task.space.name, tried=tuple(tried))


def searched_weights(task: SearchTask, architecture: Architecture) -> nn.Module:
    """The network of an architecture as the search trained it; raises FileError where it was not among those tried."""
    network = architecture.graph().module()
    load_weights(_weights_path(task, architecture), network)
    return network


def draw_all(task: SearchTask) -> tuple[Architecture, ...]:
    """Different networks, as many as the settings ask for; fewer where no more turn up within the budgets."""
    drawn: dict[Architecture, None] = {}
    for number in range(DRAWS * task.settings.networks):
        drawn[draw(task, number)] = None
        if len(drawn) == task.settings.networks:
            break
    return tuple(drawn)


def draw(task: SearchTask, number: int) -> Architecture:
    """Uniform over the space, but within the budgets: the best network of random scores (Gumbel, arXiv:1611.01144)."""
    random = generator(task.seed, "network", number)
    scores = {
        layer.name: dict(zip(layer.labels, _gumbel(len(layer.labels), random), strict=True))
        for layer in task.space.decisions
    }
    near = tuple(replace(goal, budget_ms=goal.budget_ms * (1 - HEADROOM)) for goal in task.goals)
    for floor in FLOORS:
        try:
            return derive(task.space, scores, near, at_least=floor)
        except BudgetError:
            continue
    return derive(task.space, scores, task.goals)


def search_cost(settings: SearchSettings) -> float:
    """What a search may cost, in passes of one network over the weight split.

    An architecture step of two paths (two forward passes, one backward pass to the activations) costs about what a
    weight step does (one forward, one backward to activations and weights).
    """
    return settings.epochs + (settings.epochs - settings.warmup_epochs) / settings.weight_steps


def _training(settings: SearchSettings) -> TrainSettings:
    return TrainSettings(
        epochs=max(1, round(search_cost(settings) / settings.networks)),
        batch_size=settings.batch_size,
        label_smoothing=settings.label_smoothing,
    )


def _gumbel(count: int, random: torch.Generator) -> list[float]:
    uniform = torch.rand(count, generator=random, dtype=torch.float64).clamp_min(1e-12)
    return (-(-uniform.log()).log()).tolist()


def _fresh(task: SearchTask, architecture: Architecture, number: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed + number)
        return architecture.graph().module()


def _weights_path(task: SearchTask, architecture: Architecture) -> Path:
    return task.folder / ("-".join(map(str, architecture.choices)) + ".safetensors")


def _epoch(task: SearchTask, architecture: Architecture, number: int, result: EpochResult) -> SearchEpoch:
    expected = {str(goal.target): goal.table.network_ms(architecture.ops()) for goal in task.goals}
    before = number * _training(task.settings).epochs
    return SearchEpoch(
        epoch=before + result.epoch,
        phase="search",
        loss=result.loss,
        accuracy=max(result.raw_accuracy, result.ema_accuracy),
        expected_ms=expected,
        multiplier={},
    )
