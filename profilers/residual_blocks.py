"""The `nn.Module`s behind the operations of `residual_ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from profilers.blocks import conv_bn_act
from profilers.shape import Shape

if TYPE_CHECKING:
    from profilers.residual_ops import ResBlock


class NormalisedSqueezeExcite(nn.Module):
    """Channel attention (arXiv:1709.01507) with batch normalisation in it: [N, C, H, W] -> the same."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(
            conv_bn_act(channels, hidden, 1, act="relu"), conv_bn_act(hidden, channels, 1, act="none"), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale(x.mean((2, 3), keepdim=True))  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """The block of `residual_ops.ResBlock`."""

    def __init__(self, op: ResBlock, in_shape: Shape) -> None:
        super().__init__()
        channels, wide = in_shape.channels, op.wide
        layers: list[nn.Module] = [
            conv_bn_act(channels, wide, 1, act="relu"),
            conv_bn_act(wide, wide, op.kernel, stride=op.stride, groups=op.groups, act="relu"),
        ]
        if op.se:
            layers.append(NormalisedSqueezeExcite(wide, op.se))
        self.body = nn.Sequential(*layers, conv_bn_act(wide, op.out, 1, act="none"))
        self.shortcut = projection(channels, op.out, op.stride) if op.projects(in_shape) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return (self.body(x) + self.shortcut(x)).relu()  # type: ignore[no-any-return]


def projection(channels: int, out: int, stride: int) -> nn.Sequential:
    """1x1 convolution with bias, batch normalisation: [N, C, H, W] -> [N, C', ceil(H/s), ceil(W/s)]."""
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride), nn.BatchNorm2d(out, eps=1e-3))
