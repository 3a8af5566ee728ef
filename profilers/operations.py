"""The operations that networks are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from profilers import cost
from profilers.cost import Cost
from profilers.operation import operation, require
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["none", "relu", "relu6", "hswish"]


def _check_conv(out: int, kernel: int, stride: int) -> None:
    require(out >= 1, f"out={out} must be at least 1")
    require(kernel >= 1 and kernel % 2 == 1, f"kernel={kernel} must be odd and at least 1")
    require(stride >= 1, f"stride={stride} must be at least 1")


@operation("conv")
@dataclass(frozen=True, slots=True)
class Conv:
    """Convolution, batch normalisation, activation: the stem and the head of a network."""

    out: int
    kernel: int = 1
    stride: int = 1
    act: Activation = "relu6"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"k{self.kernel}"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.conv_bn(in_shape, self.out_shape(in_shape), self.kernel)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.conv_bn_act(in_shape.channels, self.out, self.kernel, stride=self.stride, act=self.act)


@operation("mbconv")
@dataclass(frozen=True, slots=True)
class MBConv:
    """Inverted bottleneck (arXiv:1801.04381): expand, depthwise, [squeeze-excite], project.

    `expand` 1 leaves the first convolution out; `se` is the hidden width of squeeze-excite, 0 for none. The input is
    added to the output where stride is 1 and the shapes agree.
    """

    out: int
    kernel: int = 3
    stride: int = 1
    expand: int = 1
    act: Activation = "relu6"
    se: int = 0
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)
        require(self.expand >= 1, f"expand={self.expand} must be at least 1")
        require(self.se >= 0, f"se={self.se} must not be negative")

    @property
    def label(self) -> str:
        return f"k{self.kernel}e{self.expand}" + (f"se{self.se}" if self.se else "")

    def has_shortcut(self, in_shape: Shape) -> bool:
        return self.stride == 1 and in_shape.channels == self.out

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        wide = in_shape.strided(1, in_shape.channels * self.expand)
        narrow = wide.strided(self.stride)
        out = self.out_shape(in_shape)
        total = cost.conv_bn(wide, narrow, self.kernel, groups=wide.channels) + cost.conv_bn(narrow, out, 1)
        if self.expand > 1:
            total += cost.conv_bn(in_shape, wide, 1)
        if self.se:
            total += cost.squeeze_excite(narrow, self.se)
        if self.has_shortcut(in_shape):
            total += cost.residual_add(out)
        return total

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.MBConvBlock(self, in_shape)


@operation("classifier")
@dataclass(frozen=True, slots=True)
class Classifier:
    """Global average pooling and a linear layer with bias: [N, C, H, W] -> logits [N, out]."""

    out: int
    label: ClassVar[str] = "classifier"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.out >= 1, f"out={self.out} must be at least 1")

    def out_shape(self, in_shape: Shape) -> Shape:
        return Shape(1, 1, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.global_pool(in_shape) + cost.linear(in_shape.channels, self.out)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.ClassifierBlock(in_shape.channels, self.out)


@operation("pool")
@dataclass(frozen=True, slots=True)
class Pool:
    """Global average pooling that keeps two axes: [N, C, H, W] -> [N, C, 1, 1]."""

    label: ClassVar[str] = "pool"
    free: ClassVar[bool] = False

    def out_shape(self, in_shape: Shape) -> Shape:
        return Shape(1, 1, in_shape.channels)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.global_pool(in_shape)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.PoolBlock()


@operation("identity")
@dataclass(frozen=True, slots=True)
class Identity:
    """The input itself: choosing it removes the layer."""

    label: ClassVar[str] = "identity"
    free: ClassVar[bool] = True

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def cost(self, in_shape: Shape) -> Cost:
        return Cost()

    def module(self, in_shape: Shape) -> nn.Module:
        from torch import nn

        return nn.Identity()


@operation("zero")
@dataclass(frozen=True, slots=True)
class Zero:
    """Zeros of the (strided) input shape: choosing it removes an edge."""

    stride: int = 1
    label: ClassVar[str] = "zero"
    free: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.stride >= 1, f"stride={self.stride} must be at least 1")

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride)

    def cost(self, in_shape: Shape) -> Cost:
        return Cost()

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.ZeroBlock(self.stride)
