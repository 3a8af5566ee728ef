"""Training a network from scratch to tell how good it is beside others that are trained the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from pipeline.architecture import Architecture
from pipeline.search_task import SearchTask
from pipeline.train_settings import TrainSettings
from pipeline.training import EpochResult, Trained, train


def try_out(
    task: SearchTask,
    architecture: Architecture,
    *,
    epochs: int,
    seed: int,
    checkpoint: Path,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> Trained:
    """Train a network on the weight split and judge it by the architecture split; goes on from its checkpoint."""
    settings = TrainSettings(
        epochs=epochs, batch_size=task.settings.batch_size, label_smoothing=task.settings.label_smoothing
    )
    network = _fresh(architecture, seed)
    return train(network, task.data, settings, seed=seed, checkpoint=checkpoint, on_epoch=on_epoch)


def _fresh(architecture: Architecture, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return architecture.graph().module()
