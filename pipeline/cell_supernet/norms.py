"""Batch normalisation without an affine part, from the moments of what is normalised."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def norm(channels: int) -> nn.BatchNorm2d:
    """Holds running statistics; what normalises is `standardised`."""
    return nn.BatchNorm2d(channels, affine=False)


def standardised(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Scale and offset that normalise y: scale * y + offset, shaped like mean and variance.

    While training those of the batch of `count` pixels, taken into the running ones unless these are frozen.
    """
    if norm.training:
        if norm.track_running_stats:
            _track(norm, mean.detach(), variance.detach() * (count / max(count - 1, 1)))
    else:
        assert norm.running_mean is not None and norm.running_var is not None
        mean, variance = norm.running_mean.view_as(mean), norm.running_var.view_as(mean)
    scale = (variance + norm.eps).rsqrt()
    return scale, -mean * scale


def of_product(weight: Tensor, mean: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of W x: weight [..., O, K], mean [..., K], second moments [..., K, K] -> [..., O] twice."""
    covariance = second - mean.unsqueeze(-1) * mean.unsqueeze(-2)
    variance = ((weight @ covariance) * weight).sum(-1).clamp_min(0)
    return (weight @ mean.unsqueeze(-1)).squeeze(-1), variance


def _track(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    assert norm.num_batches_tracked is not None and norm.momentum is not None
    norm.num_batches_tracked += 1
    with torch.no_grad():
        norm.running_mean.lerp_(mean.flatten(), norm.momentum)
        norm.running_var.lerp_(variance.flatten(), norm.momentum)
