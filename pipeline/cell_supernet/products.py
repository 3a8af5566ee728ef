"""What a pointwise convolution with batch normalisation comes down to when its output is not needed for itself.

Mean and variance of W x follow from the mean and the second moments of x. So a normalised convolution is one product
with a weight that is known beforehand, and a sum of many is one too: nothing between is computed, kept for backward or
differentiated. The small algebra that makes weights and offsets of moments is left to autograd.

Images are [N, G * C, H, W], channels last, in G groups of channels; P is the number of their pixels, N * H * W.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv2d

from pipeline.cell_supernet.depthwise import convolved, input_gradient, weight_gradient


class Moments(Function):
    """x [N, G * C, H, W] -> x itself, its mean [G, C] and its second moments [G, C, C].

    The gradients of all three meet in one backward.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, groups: int) -> tuple[Tensor, Tensor, Tensor]:
        ctx.save_for_backward(x)
        pixels = pixel_count(x)
        return x.view_as(x), pixel_sum(x).view(groups, -1) / pixels, correlation(x, x, groups) / pixels

    @staticmethod
    def backward(ctx: Any, grad: Tensor, mean_grad: Tensor, second_grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        pixels = pixel_count(x)
        total = product(x, (second_grad + second_grad.transpose(1, 2)) / pixels, mean_grad / pixels)
        return total.add_(grad), None


class Between(Function):
    """A depthwise convolution of relu(W x + b), which is computed anew for backward.

    x [N, G * K, H, W], weight [G, O, K], offset [G, O], kernel [G * O, 1, k, k] -> [N, G * O, H, W].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, offset: Tensor, kernel: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight, offset, kernel)
        return convolved(product(x, weight, offset).relu_(), kernel)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        x, weight, offset, kernel = ctx.saved_tensors
        between = product(x, weight, offset).relu_()
        kernel_grad = weight_gradient(between, grad, kernel) if ctx.needs_input_grad[3] else None
        grad = torch.ops.aten.threshold_backward(input_gradient(grad, kernel, between), between, 0)
        x_grad = product(grad, weight.transpose(1, 2))
        return x_grad, correlation(x, grad, len(weight)), pixel_sum(grad).view_as(offset), kernel_grad


class ProductSum(Function):
    """carry + sum_i W_i x_i: carry [N, C, H, W] or none; terms x_1, W_1, x_2, W_2, ... -> [N, C, H, W].

    A term is x [N, G * K, H, W] and W [G, O, K] with G * O = C.
    """

    @staticmethod
    def forward(ctx: Any, carry: Tensor | None, *terms: Tensor) -> Tensor:
        ctx.save_for_backward(*terms)
        first, *others = (product(x, weight) for x, weight in _pairs(terms))
        for other in others if carry is None else (*others, carry):
            first += other
        return first

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad = grad.contiguous(memory_format=torch.channels_last)
        grads = [grad if ctx.needs_input_grad[0] else None]
        for x, weight in _pairs(ctx.saved_tensors):
            grads += [product(grad, weight.transpose(1, 2)), correlation(x, grad, len(weight))]
        return tuple(grads)


def product(x: Tensor, weight: Tensor, offset: Tensor | None = None) -> Tensor:
    """W x + b, group by group: x [N, G * K, H, W], weight [G, O, K], offset [G, O] -> [N, G * O, H, W]."""
    bias = None if offset is None else offset.flatten()
    return conv2d(x, weight.flatten(0, 1)[..., None, None], bias, groups=len(weight))


def correlation(x: Tensor, y: Tensor, groups: int) -> Tensor:
    """Sums over all pixels of y x^T, group by group: [N, G * K, H, W], [N, G * O, H, W] -> [G, O, K]."""
    weight = x.new_empty(y.shape[1], x.shape[1] // groups, 1, 1)  # only its shape is read
    _, total, _ = torch.ops.aten.convolution_backward(
        y, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], groups, [False, True, False]
    )
    return total.view(groups, -1, weight.shape[1])  # type: ignore[no-any-return]


def pixel_count(x: Tensor) -> int:
    return x.numel() // x.shape[1]


def pixel_sum(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [C]."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]).sum(0)


def _pairs(terms: tuple[Tensor, ...]) -> zip[tuple[Tensor, Tensor]]:
    return zip(terms[::2], terms[1::2], strict=True)
