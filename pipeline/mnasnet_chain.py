"""MnasNet's space, layer by layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.chain import chain_layers, check_numbers, check_stages, scaled
from pipeline.space import Layer
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity, MBConv
from profilers.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class MnasNetChain:
    """MnasNet's space (arXiv:1807.11626) with MnasNet-A1's widths as defaults, each layer decided on its own.

    The paper decides once for all layers of a stage, its width too, and knows plain convolutions, which none of its
    networks has. Squeeze-excite has a quarter of the block's input channels; expansion 1 is a separable convolution.
    Stages are as deep as MobileNetV2's and one layer more; whatever keeps its shape may be `identity`.
    """

    resolution: int = 224
    channels: int = 3
    classes: int = 1000
    width: float = 1.0  # multiplies stem, first and widths, as in the published counts
    stem: int = 32
    stem_stride: int = 2
    first: int = 16
    widths: tuple[int, ...] = (24, 40, 80, 112, 160, 320)
    depths: tuple[int, ...] = (3, 4, 5, 4, 4, 2)
    strides: tuple[int, ...] = (2, 2, 2, 1, 2, 1)
    kernels: tuple[int, ...] = (3, 5)
    expands: tuple[int, ...] = (1, 3, 6)
    se: tuple[int, ...] = (0, 1)  # without squeeze-excite, with it
    head: int = 1280

    def __post_init__(self) -> None:
        check_numbers(self, switches=["se"])
        check_stages(widths=self.widths, depths=self.depths, strides=self.strides)

    def layers(self) -> tuple[Layer, ...]:
        return chain_layers(Shape(self.resolution, self.resolution, self.channels), self._operations())

    def _operations(self) -> Iterator[tuple[str, list[Operation]]]:
        yield "stem", [Conv(self._scaled(self.stem), kernel=3, stride=self.stem_stride, act="relu")]
        yield "first", [MBConv(self._scaled(self.first), act="relu")]
        channels = self._scaled(self.first)
        stages = zip(self.widths, self.depths, self.strides, strict=True)
        for stage, (width, depth, stride) in enumerate(stages, start=1):
            out = self._scaled(width)
            for block in range(1, depth + 1):
                bottlenecks = self._bottlenecks(channels, out, stride if block == 1 else 1)
                yield f"stage{stage}.block{block}", [*bottlenecks, Identity()]
                channels = out
        yield "head", [Conv(self.head, act="relu")]
        yield "classifier", [Classifier(self.classes)]

    def _bottlenecks(self, channels: int, out: int, stride: int) -> Iterator[Operation]:
        for expand in self.expands:
            for kernel in self.kernels:
                for excited in self.se:
                    hidden = max(1, channels // 4) * excited
                    yield MBConv(out, kernel=kernel, stride=stride, expand=expand, act="relu", se=hidden)

    def _scaled(self, channels: int) -> int:
        return scaled(channels, self.width)
