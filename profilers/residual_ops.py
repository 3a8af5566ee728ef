"""The residual bottleneck of Zen-NAS's networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from profilers import cost
from profilers.cost import Cost
from profilers.operation import operation, require
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn


@operation("resblock")
@dataclass(frozen=True, slots=True)
class ResBlock:
    """1x1 to `wide` channels, kernel, [squeeze-excite], 1x1; plus the input; ReLU (arXiv:2102.01063).

    `conv` is what the middle one mixes: channels too, or only pixels. The input takes a 1x1 convolution, with bias, and
    batch normalisation where `project` says always, and wherever the shapes differ. `se` is the hidden width of
    squeeze-excite, 0 for none; its convolutions have batch normalisation in place of a bias.
    """

    out: int
    wide: int
    kernel: int = 3
    stride: int = 1
    conv: Literal["depthwise", "full"] = "depthwise"
    project: Literal["changed", "always"] = "changed"
    se: int = 0
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.out >= 1, f"out={self.out} must be at least 1")
        require(self.wide >= 1, f"wide={self.wide} must be at least 1")
        require(self.kernel >= 1 and self.kernel % 2 == 1, f"kernel={self.kernel} must be odd and at least 1")
        require(self.stride >= 1, f"stride={self.stride} must be at least 1")
        require(self.se >= 0, f"se={self.se} must not be negative")

    @property
    def label(self) -> str:
        return f"k{self.kernel}"

    @property
    def groups(self) -> int:
        return self.wide if self.conv == "depthwise" else 1

    def projects(self, in_shape: Shape) -> bool:
        return self.project == "always" or self.stride > 1 or in_shape.channels != self.out

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        wide = in_shape.strided(1, self.wide)
        narrow, out = wide.strided(self.stride), self.out_shape(in_shape)
        total = cost.conv_bn(in_shape, wide, 1)
        total += cost.conv_bn(wide, narrow, self.kernel, groups=self.groups)
        total += cost.conv_bn(narrow, out, 1) + cost.residual_add(out)
        if self.se:
            total += cost.squeeze_excite(narrow, self.se) + Cost(params=self.se + self.wide)
        if self.projects(in_shape):
            total += cost.conv_bn(in_shape, out, 1) + Cost(params=self.out)
        return total

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import residual_blocks

        return residual_blocks.ResidualBlock(self, in_shape)
