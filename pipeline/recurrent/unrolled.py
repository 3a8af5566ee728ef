"""DARTS's second-order gradient with the clipping of its recurrent search (arXiv:1806.09055, section 2.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

RADIUS = 0.01  # of the finite difference, over the length of the direction

Loss = Callable[[], Tensor]


def unrolled_gradient(
    train_loss: Loss,
    validation_loss: Loss,
    weights: Sequence[Tensor],
    alpha: Tensor,
    *,
    rate: float,
    weight_decay: float,
    gradient_norm: float,
) -> Tensor:
    """The gradient of the validation loss in alpha, after the weights took one step on the training loss.

    Both gradients in the weights are cut to `gradient_norm`; how much the first one was cut, the step and the implicit
    term share. No momentum. The weights are the same bits afterwards; buffers that a loss changes are its own business.
    """
    kept = [weight.detach().clone() for weight in weights]
    try:
        gradient, share = _cut(torch.autograd.grad(train_loss(), weights), gradient_norm)
        _move(weights, kept, [-rate * (g + weight_decay * w) for g, w in zip(gradient, kept, strict=True)])
        direct, *after = torch.autograd.grad(validation_loss(), [alpha, *weights])
        direction, _ = _cut(after, gradient_norm)
        radius = RADIUS / float(_length(direction))
        _move(weights, kept, [radius * each for each in direction])
        (above,) = torch.autograd.grad(train_loss(), [alpha])
        _move(weights, kept, [-radius * each for each in direction])
        (below,) = torch.autograd.grad(train_loss(), [alpha])
    finally:
        _move(weights, kept, None)
    return direct - rate * share * (above - below) / (2 * radius)


def _length(tensors: Sequence[Tensor]) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(each) for each in tensors]))
    return length


def _cut(gradient: Sequence[Tensor], most: float) -> tuple[list[Tensor], float]:
    """The gradient cut to a length, and what share of it is left."""
    share = min(1.0, most / (float(_length(gradient)) + 1e-6))
    return [share * each for each in gradient], share


@torch.no_grad()
def _move(weights: Sequence[Tensor], kept: Sequence[Tensor], by: Sequence[Tensor] | None) -> None:
    for i, weight in enumerate(weights):
        weight.copy_(kept[i] if by is None else kept[i] + by[i])
