"""The `nn.Module`s behind the operations of cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from profilers.shape import Shape


def relu_conv(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Sequential:
    """[N, C, H, W] -> [N, C', ceil(H/s), ceil(W/s)], as of every module here that has a stride."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(out_channels))


def sep_conv(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Sequential:
    first = _separable(in_channels, out_channels, kernel, stride)
    return nn.Sequential(*first, *_separable(out_channels, out_channels, kernel))


def dil_conv(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Sequential:
    return nn.Sequential(*_separable(in_channels, out_channels, kernel, stride, dilation=2))


def _separable(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1
) -> tuple[nn.Module, ...]:
    padding = dilation * (kernel // 2)
    return (
        nn.ReLU(),
        nn.Conv2d(in_channels, in_channels, kernel, stride, padding, dilation, groups=in_channels, bias=False),
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
    )


def conv_7x1(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(in_channels, out_channels, (1, 7), (1, stride), (0, 3), bias=False),
        nn.Conv2d(out_channels, out_channels, (7, 1), (stride, 1), (3, 0), bias=False),
        nn.BatchNorm2d(out_channels),
    )


class FactorizedReduce(nn.Module):
    """[N, C, H, W] -> [N, even + odd, ceil(H/2), ceil(W/2)]: from even pixels, then from odd ones."""

    def __init__(self, in_shape: Shape, even: int, odd: int) -> None:
        super().__init__()
        self.even = _halving(in_shape.channels, even)
        self.odd = _halving(in_shape.channels, odd)
        self.beyond = (0, in_shape.width % 2, 0, in_shape.height % 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        further = x[:, :, 1:, 1:]
        if any(self.beyond):
            further = nn.functional.pad(further, self.beyond)
        return torch.cat([self.even(x), self.odd(further)], 1)


def _halving(in_channels: int, out_channels: int) -> nn.Sequential:
    # Normalised by halves, which is the same as together, it is folded into each convolution.
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, 2, bias=False), nn.BatchNorm2d(out_channels))


class AddBlock(nn.Module):
    """The sum of tensors of one shape."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        for other in others:
            first = first + other
        return first


class ConcatBlock(nn.Module):
    """Tensors [N, C, H, W] one after another along their channels."""

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.cat(inputs, 1) if len(inputs) > 1 else inputs[0]
