"""The `nn.Module`s behind the operations of `mobile_ops`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from profilers.blocks import ACTIVATIONS, conv_bn_act
from profilers.operations import Activation
from profilers.shape import Shape

if TYPE_CHECKING:
    from profilers.mobile_ops import GroupMBConv


class ChannelShuffle(nn.Module):
    """Channels of different groups side by side (arXiv:1707.01083): [N, C, H, W], c = i * C/g + j goes to j * g + i."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        # [N, g, C/g, H*W]: four axes, as converters to other layouts know them.
        grouped = x.reshape(batch, self.groups, channels // self.groups, height * width)
        return grouped.transpose(1, 2).reshape(batch, channels, height, width)


class GroupMBConvBlock(nn.Module):
    """The bottleneck of `mobile_ops.GroupMBConv`."""

    def __init__(self, op: GroupMBConv, in_shape: Shape) -> None:
        super().__init__()
        channels = in_shape.channels
        wide = channels * op.expand
        layers: list[nn.Module] = []
        if op.has_first:
            layers.append(conv_bn_act(channels, wide, 1, groups=op.groups, act=op.act))
        if op.groups > 1:
            layers.append(ChannelShuffle(op.groups))
        layers.append(conv_bn_act(wide, wide, op.kernel, stride=op.stride, groups=wide, act=op.act))
        layers.append(conv_bn_act(wide, op.out, 1, groups=op.groups, act="none"))
        self.body = nn.Sequential(*layers)
        self.shortcut = op.has_shortcut(in_shape)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x) if self.shortcut else self.body(x)  # type: ignore[no-any-return]


def mix(channels: int, out: int, act: Activation) -> nn.Sequential:
    """1x1 convolution and activation: [N, C, H, W] -> [N, C', H, W]."""
    conv = nn.Conv2d(channels, out, 1, bias=False)
    return nn.Sequential(conv) if act == "none" else nn.Sequential(conv, ACTIVATIONS[act]())
