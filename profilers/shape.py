"""The shape of one image-like activation."""

from __future__ import annotations

import re
from typing import NamedTuple

_PATTERN = re.compile(r"([0-9]+)x([0-9]+)x([0-9]+)")


class Shape(NamedTuple):
    """Height, width, channels of an activation at batch 1; written `28x28x24`."""

    height: int
    width: int
    channels: int

    @property
    def elements(self) -> int:
        return self.height * self.width * self.channels

    def strided(self, stride: int, channels: int | None = None) -> Shape:
        """The shape after a layer padded with `kernel // 2`: sizes round up."""
        return Shape(-(-self.height // stride), -(-self.width // stride), channels or self.channels)

    @staticmethod
    def parse(text: str) -> Shape:
        """Read `HxWxC`; raises ValueError on anything else, sizes of zero included."""
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a shape; write height x width x channels, as in 28x28x24")
        shape = Shape(*map(int, match.groups()))
        if min(shape) < 1:
            raise ValueError(f"shape {text!r} has a size of zero")
        return shape

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


def make_divisible(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor` that is not below 90 % of `channels`, as MobileNets round their widths."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor
