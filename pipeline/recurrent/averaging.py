"""SGD, then averaged SGD once validation no longer improves: the non-monotone trigger of arXiv:1708.02182."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import ASGD, SGD

from pipeline.recurrent.settings import Regime


def begin_sgd(parameters: Iterable[nn.Parameter], regime: Regime) -> SGD:
    return SGD(parameters, lr=regime.learning_rate, weight_decay=regime.weight_decay)


def begin_averaging(parameters: Iterable[nn.Parameter], regime: Regime) -> ASGD:
    """The average weighs all steps but its first alike; the learning rate stays what it is."""
    return ASGD(parameters, lr=regime.learning_rate, t0=0, lambd=0.0, weight_decay=regime.weight_decay)


def is_time_to_average(losses: Sequence[float], patience: int) -> bool:
    """Whether the last validation loss is above the best one of those before the last `patience`."""
    before = losses[: len(losses) - 1 - patience]
    return bool(before) and losses[-1] > min(before)


@contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """Meanwhile the weights are the averages, where there are any."""
    averages: list[tuple[Any, Any]] = [
        (parameter, optimizer.state[parameter]["ax"])
        for group in optimizer.param_groups
        for parameter in group["params"]
        if "ax" in optimizer.state[parameter]
    ]
    kept = [parameter.detach().clone() for parameter, _ in averages]
    with torch.no_grad():
        for parameter, average in averages:
            parameter.copy_(average)
    try:
        yield
    finally:
        with torch.no_grad():
            for (parameter, _), weights in zip(averages, kept, strict=True):
                parameter.copy_(weights)
