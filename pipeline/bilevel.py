"""The gradient of the architecture through one step of the weights (DARTS, arXiv:1806.09055, section 2.3).

The architecture is judged at the weights w' that a step of SGD on the training loss would make of w, and w' depends on
it too. That part of the gradient, second derivatives times a vector, is taken from a difference of two gradients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

DISTANCE = 0.01  # of the weights to either side, for the difference

Loss = Callable[[], Tensor]


def second_order(
    network: nn.Module, alphas: Sequence[Tensor], optimizer: torch.optim.SGD, training: Loss, validation: Loss
) -> tuple[Tensor, ...]:
    """The gradients to `alphas` of the validation loss after a step of `optimizer` on the training loss.

    `training` is called three times and `validation` once, each to compute its loss anew. Afterwards weights, buffers
    and all that `optimizer` keeps are what they were, bit for bit.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    with _restored([*weights, *network.buffers()]) as kept:
        begin = kept[: len(weights)]
        with _held(alphas):
            steps, rates = _steps(optimizer, _gradients(training(), weights))
        _move(weights, begin, steps, -1)
        found = _gradients(validation(), [*alphas, *weights])
        direct = [_or_zeros(each) for each in zip(found, alphas, strict=False)]
        onward = [_or_zeros(each) for each in zip(found[len(alphas) :], weights, strict=True)]
        direction = [rate * gradient for rate, gradient in zip(rates, onward, strict=True)]
        length = float(torch.stack([each.norm() for each in direction]).norm())
        if length == 0:
            return tuple(direct)
        sides = []
        with _held(weights):
            for side in (DISTANCE / length, -DISTANCE / length):
                _move(weights, begin, direction, side)
                found = _gradients(training(), alphas)
                sides.append([_or_zeros(each) for each in zip(found, alphas, strict=True)])
    return tuple(
        gradient - (ahead - behind) * (length / (2 * DISTANCE))
        for gradient, ahead, behind in zip(direct, *sides, strict=True)
    )


def _steps(optimizer: torch.optim.SGD, gradients: Sequence[Tensor | None]) -> tuple[list[Tensor], list[float]]:
    """What a step would take from each weight, and how much more of it for each unit of gradient."""
    steps, rates = [], []
    remaining = iter(gradients)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            gradient = next(remaining)
            if gradient is None:  # SGD leaves a weight alone that took no part
                step, rate = torch.zeros_like(weight), 0.0
            else:
                buffer = optimizer.state.get(weight, {}).get("momentum_buffer")
                step, rate = _step(group, gradient + group["weight_decay"] * weight.detach(), buffer)
            steps.append(step)
            rates.append(rate)
    return steps, rates


def _step(group: dict[str, Any], gradient: Tensor, buffer: Tensor | None) -> tuple[Tensor, float]:
    rate, momentum = group["lr"], group["momentum"]
    if momentum == 0:
        return rate * gradient, rate
    share = 1.0
    velocity = gradient
    if buffer is not None:
        share = 1 - group["dampening"]
        velocity = momentum * buffer + share * gradient
    if group["nesterov"]:
        velocity, share = gradient + momentum * velocity, 1 + momentum * share
    return rate * velocity, rate * share


def _gradients(loss: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor | None, ...]:
    """None for what the loss does not depend on."""
    if not loss.requires_grad:
        return (None,) * len(tensors)
    return torch.autograd.grad(loss, tensors, allow_unused=True)


def _or_zeros(pair: tuple[Tensor | None, Tensor]) -> Tensor:
    gradient, like = pair
    return torch.zeros_like(like) if gradient is None else gradient


@torch.no_grad()
def _move(weights: Sequence[Tensor], begin: Sequence[Tensor], direction: Sequence[Tensor], times: float) -> None:
    for weight, start, along in zip(weights, begin, direction, strict=True):
        weight.copy_(torch.add(start, along, alpha=times))


@contextmanager
def _restored(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Gives copies of the tensors, and puts them back in the end, whatever happens."""
    kept = [tensor.detach().clone() for tensor in tensors]
    try:
        yield kept
    finally:
        with torch.no_grad():
            for tensor, copy in zip(tensors, kept, strict=True):
                tensor.copy_(copy)


@contextmanager
def _held(tensors: Iterable[Tensor]) -> Iterator[None]:
    """No gradients are computed for these, which is what costs least."""
    held = [tensor for tensor in tensors if tensor.requires_grad]
    for tensor in held:
        tensor.requires_grad_(False)
    try:
        yield
    finally:
        for tensor in held:
            tensor.requires_grad_(True)
