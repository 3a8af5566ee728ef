"""A space of one's own, with an operation of one's own: `python own_space.py` is `millis` with both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from pipeline.cli import main
from pipeline.space import Layer
from pipeline.spaces import SPACES, SpaceFamily
from profilers import Operation, OpSpec, Shape, operation
from profilers.cost import Cost, conv_bn
from profilers.operations import Classifier, Conv


class GhostBlock(nn.Module):
    def __init__(self, channels: int, half: int, kernel: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(channels, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        cheap = nn.Conv2d(half, half, kernel, padding=kernel // 2, groups=half, bias=False)
        self.second = nn.Sequential(cheap, nn.BatchNorm2d(half), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        return torch.cat([first, self.second(first)], 1)


@operation("ghost")
@dataclass(frozen=True, slots=True)
class Ghost:
    """Half of the channels from the input, the others from those, each from one (arXiv:1911.11907)."""

    half: int
    kernel: int = 3
    free: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return f"ghost{self.kernel}"

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(1, 2 * self.half)

    def cost(self, in_shape: Shape) -> Cost:
        half = in_shape.strided(1, self.half)
        return conv_bn(in_shape, half, 1) + conv_bn(half, half, self.kernel, groups=self.half)

    def module(self, in_shape: Shape) -> nn.Module:
        return GhostBlock(in_shape.channels, self.half, self.kernel)


@dataclass(frozen=True, slots=True, kw_only=True)
class GhostChain:
    """A stem, layers that choose between convolutions and ghosts, a classifier."""

    resolution: int = 8
    channels: int = 1
    classes: int = 10
    width: int = 16
    depth: int = 3

    def layers(self) -> tuple[Layer, ...]:
        image = Shape(self.resolution, self.resolution, self.channels)
        stem = OpSpec(Conv(self.width, kernel=3), image)
        choices: list[Operation] = [Conv(self.width, kernel=3), Ghost(self.width // 2, 3), Ghost(self.width // 2, 5)]
        candidates = tuple(OpSpec(choice, stem.out_shape) for choice in choices)
        open_layers = [Layer(f"layer{number}", candidates) for number in range(self.depth)]
        classifier = OpSpec(Classifier(self.classes), stem.out_shape)
        return (Layer("stem", (stem,)), *open_layers, Layer("classifier", (classifier,)))


SPACES["ghost-8"] = SpaceFamily("3 layers of convolutions or ghosts for 8x8 grey images", GhostChain())

if __name__ == "__main__":
    main()
