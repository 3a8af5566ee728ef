"""The `nn.Module`s behind the operations of `nasnet_ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from profilers.nasnet_ops import Oblong


def oblong(channels: int, op: Oblong) -> nn.Sequential:
    """[N, C, H, W] -> [N, C', H, ceil(W/s)] along rows, [N, C', ceil(H/s), W] along columns."""
    sizes = (1, op.kernel), (1, op.stride), (0, op.kernel // 2)
    kernel, stride, padding = sizes if op.along == "row" else (size[::-1] for size in sizes)
    return nn.Sequential(nn.ReLU(), nn.Conv2d(channels, op.out, kernel, stride, padding, bias=False), _norm(op.out))


def valid_conv(channels: int, out: int, kernel: int, stride: int) -> nn.Sequential:
    """[N, C, H, W] -> [N, C', (H - k) // s + 1, (W - k) // s + 1]."""
    return nn.Sequential(nn.Conv2d(channels, out, kernel, stride, bias=False), _norm(out))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
