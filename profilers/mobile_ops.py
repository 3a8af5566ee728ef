"""Operations of mobile networks beyond the plain inverted bottleneck: FBNet's grouped one, MobileNetV3's head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from profilers import cost
from profilers.cost import Cost
from profilers.operation import operation, require
from profilers.operations import Activation
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn


@operation("groupmbconv")
@dataclass(frozen=True, slots=True)
class GroupMBConv:
    """FBNet's bottleneck (arXiv:1812.03443): grouped 1x1, channel shuffle, depthwise, grouped 1x1.

    The first convolution stands always, or only where it expands; the shuffle in both cases, but for one group. The
    input is added to the output where stride is 1 and the shapes agree.
    """

    out: int
    kernel: int = 3
    stride: int = 1
    expand: int = 1
    groups: int = 1
    first: Literal["always", "expanding"] = "expanding"
    act: Activation = "relu"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.out >= 1, f"out={self.out} must be at least 1")
        require(self.kernel >= 1 and self.kernel % 2 == 1, f"kernel={self.kernel} must be odd and at least 1")
        require(self.stride >= 1, f"stride={self.stride} must be at least 1")
        require(self.expand >= 1, f"expand={self.expand} must be at least 1")
        require(self.groups >= 1, f"groups={self.groups} must be at least 1")

    @property
    def label(self) -> str:
        return f"k{self.kernel}e{self.expand}" + (f"g{self.groups}" if self.groups > 1 else "")

    @property
    def has_first(self) -> bool:
        return self.expand > 1 or self.first == "always"

    def has_shortcut(self, in_shape: Shape) -> bool:
        return self.stride == 1 and in_shape.channels == self.out

    def out_shape(self, in_shape: Shape) -> Shape:
        for channels in (in_shape.channels, self.out):
            require(channels % self.groups == 0, f"{channels} channels do not make {self.groups} equal groups")
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        out = self.out_shape(in_shape)
        wide = in_shape.strided(1, in_shape.channels * self.expand)
        narrow = wide.strided(self.stride)
        total = cost.conv_bn(wide, narrow, self.kernel, groups=wide.channels)
        total += cost.conv_bn(narrow, out, 1, groups=self.groups)
        if self.has_first:
            total += cost.conv_bn(in_shape, wide, 1, groups=self.groups)
        if self.groups > 1:
            total += Cost(elements_moved=2 * wide.elements)
        if self.has_shortcut(in_shape):
            total += cost.residual_add(out)
        return total

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import mobile_blocks

        self.out_shape(in_shape)  # refuses channels that make no groups
        return mobile_blocks.GroupMBConvBlock(self, in_shape)


@operation("mix")
@dataclass(frozen=True, slots=True)
class Mix:
    """1x1 convolution without batch normalisation and bias, activation: the last features of MobileNetV3."""

    out: int
    act: Activation = "hswish"
    label: ClassVar[str] = "mix"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.out >= 1, f"out={self.out} must be at least 1")

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(1, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.conv(in_shape, self.out_shape(in_shape), area=1)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import mobile_blocks

        return mobile_blocks.mix(in_shape.channels, self.out, self.act)
