"""Depthwise convolutions, forward and backward by the kernels that are fast on CPUs.

oneDNN has a fast one for every forward convolution, for backward to the input none with dilation, and for backward to
the weight none with dilation or of a width above 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import conv2d


class Fan(Function):
    """x [N, C, H, W], G kernels for each channel in every weight [G * C, 1, k, k] -> as many outputs [N, G * C, H, W].

    The G copies of x that the kernels read are not kept for backward.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, stride: int, dilations: tuple[int, ...], *weights: Tensor) -> tuple[Tensor, ...]:
        ctx.save_for_backward(x, *weights)
        ctx.stride, ctx.dilations = stride, dilations
        copies = _copies(x, len(weights[0]) // x.shape[1])
        return tuple(convolved(copies, *each, stride) for each in zip(weights, dilations, strict=True))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *weights = ctx.saved_tensors
        each = list(zip(grads, weights, ctx.dilations, strict=True))
        x_grad = None
        if ctx.needs_input_grad[0]:
            first, *others = (input_gradient(grad, weight, x, dilation, ctx.stride) for grad, weight, dilation in each)
            for other in others:
                first += other
            x_grad = _sum_of_copies(first, x.shape[1])
        weight_grads = [
            weight_gradient(x, grad, weight, dilation, ctx.stride) if needed else None
            for (grad, weight, dilation), needed in zip(each, ctx.needs_input_grad[3:], strict=True)
        ]
        return x_grad, None, None, *weight_grads


def convolved(x: Tensor, weight: Tensor, dilation: int = 1, stride: int = 1) -> Tensor:
    """The depthwise convolution x [N, C, H, W], weight [C, 1, k, k] -> [N, C, ceil(H / s), ceil(W / s)]."""
    return conv2d(x, weight, None, stride, dilation * (weight.shape[2] // 2), dilation, len(weight))


def input_gradient(grad: Tensor, weight: Tensor, x: Tensor, dilation: int = 1, stride: int = 1) -> Tensor:
    """Of the copies of x that `convolved` read: [N, G * C, H, W]."""
    if stride == 1:
        return convolved(grad, weight.flip(2, 3), dilation)
    half = weight.shape[2] // 2
    copies = torch.empty(len(x), len(weight), *x.shape[2:], dtype=x.dtype, memory_format=torch.channels_last)
    return _native(grad, copies, weight, stride, (half, half), 0)


def weight_gradient(x: Tensor, grad: Tensor, weight: Tensor, dilation: int = 1, stride: int = 1) -> Tensor:
    """Like weight [G * C, 1, 5, 5], of which only the shape is read. A dilation is 2, without a stride."""
    if dilation == 2:
        return weight_gradient(_by_parity(x), _by_parity(grad), weight)
    copies, columns = len(weight) // x.shape[1], weight[..., :3]
    left, right = (_native(grad, _copies(_wider(x, place), copies), columns, stride, (2, 0), 1) for place in (2, 0))
    return torch.cat([left, right[..., 1:]], dim=3)


def _wider(x: Tensor, place: int) -> Tensor:
    """The image in one that has two columns more, at this place, zeros beside it: [N, C, H, W] -> [N, C, H, W + 2]."""
    batch, channels, height, width = x.shape
    wide = x.new_empty((batch, height, width + 2, channels)).permute(0, 3, 1, 2)
    wide[..., :place] = 0
    wide[..., place : place + width] = x
    wide[..., place + width :] = 0
    return wide


def _by_parity(x: Tensor) -> Tensor:
    """Pixels of rows and columns of like parity as images of their own, in which a kernel is not dilated.

    The four stand below one another, two rows of zeros between them:
    [N, C, H, W] -> [N, C, 4 ceil(H / 2) + 6, ceil(W / 2)].
    """
    batch, channels, height, width = x.shape
    rows, columns = -(-height // 2), -(-width // 2)
    images = x.new_zeros((batch, 4 * rows + 6, columns, channels)).permute(0, 3, 1, 2)
    for place, (row, column) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        image = x[:, :, row::2, column::2]
        first = place * (rows + 2)
        images[:, :, first : first + image.shape[2], : image.shape[3]] = image
    return images


def _native(grad: Tensor, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int], wanted: int) -> Tensor:
    """The gradient of the input (0) or of the weight (1)."""
    ones, groups = [1, 1], x.shape[1]
    mask = [wanted == 0, wanted == 1, False]
    return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
        grad, x, weight, None, [stride] * 2, padding, ones, False, [0, 0], groups, mask
    )[wanted]


def _copies(x: Tensor, groups: int) -> Tensor:
    """[N, C, H, W] -> [N, G * C, H, W]."""
    return torch.cat([x] * groups, dim=1) if groups > 1 else x


def _sum_of_copies(x: Tensor, channels: int) -> Tensor:
    """[N, G * C, H, W] -> [N, C, H, W]."""
    first, *others = torch.split(x, channels, dim=1)
    for other in others:
        first = first + other
    return first
