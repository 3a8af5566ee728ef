"""The operations that cells are made of (DARTS, arXiv:1806.09055; NASNet, arXiv:1707.07012).

They begin with the ReLU and end with batch normalisation; no convolution has a bias.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from profilers import cost
from profilers.cost import Cost
from profilers.operation import operation, require
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn


def _check_kernel(kernel: int, stride: int) -> None:
    require(kernel >= 1 and kernel % 2 == 1, f"kernel={kernel} must be odd and at least 1")
    require(stride >= 1, f"stride={stride} must be at least 1")


def _check_conv(out: int, kernel: int, stride: int) -> None:
    require(out >= 1, f"out={out} must be at least 1")
    _check_kernel(kernel, stride)


@operation("reluconv")
@dataclass(frozen=True, slots=True)
class ReLUConv:
    """ReLU, convolution, batch normalisation."""

    out: int
    kernel: int = 1
    stride: int = 1
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"conv_{self.kernel}x{self.kernel}"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.conv_bn(in_shape, self.out_shape(in_shape), self.kernel)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import cell_blocks

        return cell_blocks.relu_conv(in_shape.channels, self.out, self.kernel, self.stride)


@operation("sepconv")
@dataclass(frozen=True, slots=True)
class SepConv:
    """Twice ReLU, depthwise and pointwise convolution, batch normalisation; the first time strided, giving `out`."""

    out: int
    kernel: int = 3
    stride: int = 1
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"sep_conv_{self.kernel}x{self.kernel}"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        out, area = self.out_shape(in_shape), self.kernel**2
        return _separable(in_shape, in_shape.strided(self.stride), out, area) + _separable(out, out, out, area)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import cell_blocks

        return cell_blocks.sep_conv(in_shape.channels, self.out, self.kernel, self.stride)


@operation("dilconv")
@dataclass(frozen=True, slots=True)
class DilConv:
    """ReLU, depthwise convolution of dilation 2, pointwise convolution, batch normalisation."""

    out: int
    kernel: int = 3
    stride: int = 1
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"dil_conv_{self.kernel}x{self.kernel}"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return _separable(in_shape, in_shape.strided(self.stride), self.out_shape(in_shape), self.kernel**2)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import cell_blocks

        return cell_blocks.dil_conv(in_shape.channels, self.out, self.kernel, self.stride)


def _separable(in_shape: Shape, middle: Shape, out_shape: Shape, area: int) -> Cost:
    """Depthwise from the input to the middle, pointwise to the output, batch normalisation."""
    depthwise = cost.conv(in_shape, middle, area, groups=in_shape.channels)
    return depthwise + cost.conv_bn(middle, out_shape, 1)


@operation("conv7x1")
@dataclass(frozen=True, slots=True)
class Conv7x1:
    """ReLU, convolutions 1x7 and 7x1, batch normalisation."""

    out: int
    stride: int = 1
    label: ClassVar[str] = "conv_7x1_1x7"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_conv(self.out, 7, self.stride)

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        out = self.out_shape(in_shape)
        middle = Shape(in_shape.height, out.width, self.out)
        return cost.conv(in_shape, middle, 7) + cost.conv(middle, out, 7) + cost.batch_norm(out)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import cell_blocks

        return cell_blocks.conv_7x1(in_shape.channels, self.out, self.stride)


@operation("reduce")
@dataclass(frozen=True, slots=True)
class Reduce:
    """Half the size without losing a pixel: ReLU, two 1x1 convolutions of stride 2, one of them a pixel further.

    Each gives half of the channels, with batch normalisation. Beyond the edge of an odd size are zeros.
    """

    out: int
    label: ClassVar[str] = "reduce"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.out >= 2, f"out={self.out} must be at least 2")

    @property
    def halves(self) -> tuple[int, int]:
        return self.out // 2, self.out - self.out // 2

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(2, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        even, odd = (in_shape.strided(2, half) for half in self.halves)
        height, width, channels = in_shape
        further = Shape(height - 1 + height % 2, width - 1 + width % 2, channels)
        return cost.conv_bn(in_shape, even, 1) + cost.conv_bn(further, odd, 1)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import cell_blocks

        return cell_blocks.FactorizedReduce(in_shape, *self.halves)


@operation("maxpool")
@dataclass(frozen=True, slots=True)
class MaxPool:
    """The largest value of each window."""

    kernel: int = 3
    stride: int = 1
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_kernel(self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"max_pool_{self.kernel}x{self.kernel}"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.pool(in_shape, self.out_shape(in_shape))

    def module(self, in_shape: Shape) -> nn.Module:
        from torch import nn

        return nn.MaxPool2d(self.kernel, self.stride, self.kernel // 2)


@operation("avgpool")
@dataclass(frozen=True, slots=True)
class AvgPool:
    """The mean of each window, over as much of it as lies within the image."""

    kernel: int = 3
    stride: int = 1
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_kernel(self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"avg_pool_{self.kernel}x{self.kernel}"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.pool(in_shape, self.out_shape(in_shape))

    def module(self, in_shape: Shape) -> nn.Module:
        from torch import nn

        return nn.AvgPool2d(self.kernel, self.stride, self.kernel // 2, count_include_pad=False)


@operation("add")
@dataclass(frozen=True, slots=True)
class Add:
    """The sum of its inputs, all of one shape. It is never timed alone: what sums cost is learned of whole networks."""

    label: ClassVar[str] = "add"
    free: ClassVar[bool] = True

    def join(self, shapes: Sequence[Shape]) -> Shape:
        if len(set(shapes)) != 1:
            raise ValueError(f"add: its inputs differ in shape: {', '.join(map(str, shapes))}")
        return shapes[0]

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def cost(self, in_shape: Shape) -> Cost:
        return Cost()

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import cell_blocks

        return cell_blocks.AddBlock()


@operation("concat")
@dataclass(frozen=True, slots=True)
class Concat:
    """The channels of all its inputs, one after another: `in` is their shape together. Never timed alone."""

    label: ClassVar[str] = "concat"
    free: ClassVar[bool] = True

    def join(self, shapes: Sequence[Shape]) -> Shape:
        if len({shape[:2] for shape in shapes}) != 1:
            raise ValueError(f"concat: its inputs differ in size: {', '.join(map(str, shapes))}")
        return shapes[0].strided(1, sum(shape.channels for shape in shapes))

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def cost(self, in_shape: Shape) -> Cost:
        return Cost()

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import cell_blocks

        return cell_blocks.ConcatBlock()
