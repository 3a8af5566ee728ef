"""What NASNet's frame has beside the operations of DARTS's cells (arXiv:1707.07012, 1802.01548)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from profilers import cost
from profilers.cost import Cost
from profilers.operation import operation, require
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn


def _check_conv(out: int, kernel: int, stride: int) -> None:
    require(out >= 1, f"out={out} must be at least 1")
    require(kernel >= 1 and kernel % 2 == 1, f"kernel={kernel} must be odd and at least 1")
    require(stride >= 1, f"stride={stride} must be at least 1")


@operation("oblong")
@dataclass(frozen=True, slots=True)
class Oblong:
    """ReLU, convolution with a kernel of one row or one column, batch normalisation; the stride is along the kernel."""

    out: int
    kernel: int = 7
    stride: int = 1
    along: Literal["row", "column"] = "row"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"conv_1x{self.kernel}" if self.along == "row" else f"conv_{self.kernel}x1"

    def out_shape(self, in_shape: Shape) -> Shape:
        strided = in_shape.strided(self.stride, self.out)
        row = self.along == "row"
        return Shape(in_shape.height if row else strided.height, strided.width if row else in_shape.width, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        out = self.out_shape(in_shape)
        return cost.conv(in_shape, out, self.kernel) + cost.batch_norm(out)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import nasnet_blocks

        return nasnet_blocks.oblong(in_shape.channels, self)


@operation("validconv")
@dataclass(frozen=True, slots=True)
class ValidConv:
    """Convolution within the image alone, without padding, and batch normalisation: NASNet's first layer."""

    out: int
    kernel: int = 3
    stride: int = 2
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"valid_{self.kernel}x{self.kernel}"

    def out_shape(self, in_shape: Shape) -> Shape:
        height, width = ((size - self.kernel) // self.stride + 1 for size in in_shape[:2])
        require(min(height, width) >= 1, f"in={in_shape} is smaller than the kernel of {self.kernel}")
        return Shape(height, width, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.conv_bn(in_shape, self.out_shape(in_shape), self.kernel)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import nasnet_blocks

        self.out_shape(in_shape)  # refuses images that are too small
        return nasnet_blocks.valid_conv(in_shape.channels, self.out, self.kernel, self.stride)


@operation("relu")
@dataclass(frozen=True, slots=True)
class Relu:
    """The activation alone. It is never timed alone: converters fuse it into what comes before it."""

    label: ClassVar[str] = "relu"
    free: ClassVar[bool] = True

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def cost(self, in_shape: Shape) -> Cost:
        return Cost()

    def module(self, in_shape: Shape) -> nn.Module:
        from torch import nn

        return nn.ReLU()
