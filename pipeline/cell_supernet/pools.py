"""The pools of a state, normalised; they are the same for every edge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.functional import avg_pool2d, batch_norm, max_pool2d


class Pools(Function):
    """Largest and mean values of 3x3 pixels, each normalised: x [N, C, H, W] -> twice [N, C, ceil(H / s), ceil(W / s)].

    Only x is kept for backward; computing the pools anew costs less than the memory that they and their places take.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int, norms: nn.ModuleList) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x)
        ctx.stride, ctx.norms = stride, norms
        return tuple(norm(pool) for norm, pool in zip(norms, _pools(x, stride), strict=True))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            outputs = [
                batch_norm(pool, *_running(norm), training=norm.training, eps=norm.eps)
                for norm, pool in zip(ctx.norms, _pools(x, ctx.stride), strict=True)
            ]
        (x_grad,) = torch.autograd.grad(outputs, x, grads)
        return x_grad, None, None


def _pools(x: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    return max_pool2d(x, 3, stride, 1), avg_pool2d(x, 3, stride, 1, count_include_pad=False)


def _running(norm: nn.BatchNorm2d) -> tuple[Tensor | None, Tensor | None]:
    """Not those of training, which have had this batch."""
    return (None, None) if norm.training else (norm.running_mean, norm.running_var)
