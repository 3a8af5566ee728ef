"""Training a network on the weight split, judged by the architecture split; the test split is never touched here."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel

from pipeline.autocast import computed
from pipeline.checkpoint import load_state, save_state
from pipeline.data.batches import batches, step_count
from pipeline.data.seeding import generator
from pipeline.data.splits import Data, Normalisation, Split
from pipeline.drop_path import dropped_paths
from pipeline.train_settings import TrainSettings
from profilers.errors import FileError, MillisError

GRADIENT_NORM = 5.0  # longer gradients are shortened to this
EVALUATION_BATCH = 64  # larger ones fall out of the processor's caches


class TrainingError(MillisError):
    """Training diverged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochResult:
    """One epoch; accuracies in 0..1, on the architecture split."""

    epoch: int  # counted from 1
    loss: float  # mean over the epoch's steps, label smoothing included
    raw_accuracy: float
    ema_accuracy: float
    wall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A trained network in evaluation mode, with the better of raw and averaged weights."""

    network: nn.Module
    accuracy: float  # in 0..1, on the architecture split
    weights: Literal["raw", "ema"]
    epochs: tuple[EpochResult, ...]


@dataclass(slots=True, kw_only=True)
class _Run:
    """What changes while training; the checkpoint is this."""

    network: nn.Module
    average: AveragedModel
    optimizer: torch.optim.SGD
    epochs: list[EpochResult]


def train(
    network: nn.Module,
    data: Data,
    settings: TrainSettings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    on_epoch: Callable[[EpochResult], None] = lambda _: None,
) -> Trained:
    """Train `network` in place from the weights it has.

    With `checkpoint` the state is saved there after each epoch, and a call that finds the file goes on from it to the
    same weights, bit by bit. `on_epoch` hears of each epoch that is trained in this call. Raises TrainingError when the
    loss is no longer finite, FileError when the checkpoint is of another training.
    """
    run = _begin(network, settings)
    identity = _identity(data, settings, seed)
    if checkpoint is not None and checkpoint.exists():
        _restore(run, checkpoint, identity)
    for epoch in range(len(run.epochs), settings.epochs):
        run.epochs.append(_train_epoch(run, data, settings, seed=seed, epoch=epoch))
        if checkpoint is not None:
            _save(run, checkpoint, identity)
        on_epoch(run.epochs[-1])
    return _finish(run)


@torch.no_grad()
def predict(
    network: nn.Module, split: Split, normalisation: Normalisation, batch_size: int = EVALUATION_BATCH
) -> Tensor:
    """Logits [N, classes] of every image of a split, in its order."""
    was_training = network.training
    network.eval()
    images = batches(split, batch_size=batch_size, normalisation=normalisation, shuffle=False)
    logits = torch.cat([network(x) for x, _ in images])
    network.train(was_training)
    return logits


def evaluate(
    network: nn.Module, split: Split, normalisation: Normalisation, batch_size: int = EVALUATION_BATCH
) -> float:
    """Top-1 accuracy in 0..1 on a split."""
    logits = predict(network, split, normalisation, batch_size)
    return float((logits.argmax(1) == split.labels).double().mean())


def learning_rate_at(step: int, steps: int, warmup_steps: float, peak: float, end: float = 0.0) -> float:
    """Linear from near 0 to `peak` over the warm-up, then a cosine to `end` (arXiv:1608.03983). Steps count from 0."""
    if step + 1 < warmup_steps:
        return peak * (step + 1) / warmup_steps
    # A warm-up longer than the training leaves nothing to anneal.
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return end + (peak - end) * 0.5 * (1 + math.cos(math.pi * min(max(progress, 0), 1)))


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights of convolutions and linear layers decay; vectors (batch normalisation, biases) do not."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """The exponential moving average of weights and buffers.

    The decay warms up as (1 + n) / (10 + n), so that after a few steps the average has left the first weights behind.
    """

    def update(averages: Any, currents: Any, count: Any) -> None:
        n = int(count)
        weight = 1 - min(decay, (1 + n) / (10 + n))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, currents, weight)
        else:
            torch._foreach_copy_(averages, currents)  # counters of batches

    with torch.no_grad():
        return AveragedModel(network, multi_avg_fn=update, use_buffers=True)


def _identity(data: Data, settings: TrainSettings, seed: int) -> dict[str, Any]:
    """What a checkpoint must agree on; a word for a user each."""
    images = sha256(data.weights.indices.numpy().tobytes()).hexdigest()
    return {"settings": asdict(settings), "seed": seed, "data": [data.name, str(data.shape), images]}


def _begin(network: nn.Module, settings: TrainSettings) -> _Run:
    # Convolutions on the CPU are up to twice as fast in this layout.
    network.to(memory_format=torch.channels_last)
    groups = parameter_groups(network, settings.weight_decay)
    # Not `fused`: on the CPU it takes a momentum restored in another memory layout as if it were in the weight's own.
    optimizer = torch.optim.SGD(
        groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.momentum > 0, foreach=True
    )
    return _Run(network=network, average=averaged(network, settings.ema_decay), optimizer=optimizer, epochs=[])


def _train_epoch(run: _Run, data: Data, settings: TrainSettings, *, seed: int, epoch: int) -> EpochResult:
    begin = time.perf_counter()
    steps = step_count(data.weights, settings.batch_size)
    run.network.train()
    total = 0.0
    pairs = batches(
        data.weights,
        batch_size=settings.batch_size,
        normalisation=data.normalisation,
        seed=seed,
        epoch=epoch,
        augment=data.augment if settings.augment else None,
    )
    random, dropped = generator(seed, "drop path", epoch), settings.drop_path * epoch / settings.epochs
    for step, (images, labels) in enumerate(pairs):
        rate = learning_rate_at(
            epoch * steps + step, settings.epochs * steps, settings.warmup_epochs * steps, settings.learning_rate
        )
        with dropped_paths(run.network, dropped, random):
            loss = _step(run, images, labels, rate, settings)
        if not math.isfinite(loss):
            raise TrainingError(
                f"training: the loss is {loss} at epoch {epoch + 1}, step {step + 1} of {steps}: "
                f"try a lower learning_rate than {settings.learning_rate:g} or a longer warm-up"
            )
        total += loss
    return EpochResult(
        epoch=epoch + 1,
        loss=total / steps,
        raw_accuracy=evaluate(run.network, data.architecture, data.normalisation),
        ema_accuracy=evaluate(run.average, data.architecture, data.normalisation),
        wall_s=time.perf_counter() - begin,
    )


def _step(run: _Run, images: Tensor, labels: Tensor, rate: float, settings: TrainSettings) -> float:
    """One update of the weights and their average; returns the loss, and changes nothing where that is not finite."""
    for group in run.optimizer.param_groups:
        group["lr"] = rate
    logits = computed(run.network, settings.compute, images)
    loss = cross_entropy(logits, labels, label_smoothing=settings.label_smoothing)
    run.optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = nn.utils.clip_grad_norm_(run.network.parameters(), GRADIENT_NORM)
    if not norm.isfinite():
        return math.nan
    run.optimizer.step()
    run.average.update_parameters(run.network)
    return float(loss.detach())


def _finish(run: _Run) -> Trained:
    last = run.epochs[-1]
    use_average = last.ema_accuracy >= last.raw_accuracy
    if use_average:
        run.network.load_state_dict(run.average.module.state_dict())
    return Trained(
        network=run.network.eval(),
        accuracy=max(last.ema_accuracy, last.raw_accuracy),
        weights="ema" if use_average else "raw",
        epochs=tuple(run.epochs),
    )


def _save(run: _Run, path: Path, identity: dict[str, Any]) -> None:
    state = {
        "identity": identity,
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "epochs": [asdict(epoch) for epoch in run.epochs],
    }
    save_state(path, state)


def _restore(run: _Run, path: Path, identity: dict[str, Any]) -> None:
    state = load_state(path)
    try:
        different = [name for name, value in identity.items() if state["identity"][name] != value]
        if different:
            raise FileError(f"{path}: belongs to a training with other {', '.join(different)}; delete it to begin anew")
        run.network.load_state_dict(state["network"])
        run.average.load_state_dict(state["average"])
        run.optimizer.load_state_dict(state["optimizer"])
        run.epochs = [EpochResult(**epoch) for epoch in state["epochs"]]
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        problem = " ".join(str(error).split())[:200]
        raise FileError(f"{path}: belongs to a training of another network: {problem}; delete it") from None
