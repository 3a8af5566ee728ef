"""MobileNetV3's space as Once-for-All searches it: squeeze-excite and h-swish in the stages that have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.chain import chain_layers, check_numbers, check_stages, scaled
from pipeline.space import Layer
from profilers.mobile_ops import Mix
from profilers.operation import Operation
from profilers.operations import Activation, Classifier, Conv, Identity, MBConv, Pool
from profilers.shape import Shape, make_divisible


@dataclass(frozen=True, slots=True, kw_only=True)
class MobileNetV3Chain:
    """Once-for-All's space (arXiv:1908.09791) on MobileNetV3-Large (arXiv:1905.02244); its networks have width 1.2.

    Stem, one fixed bottleneck, stages of searched bottlenecks, 1x1 head, pool, feature mix, classifier. `se` and
    `hswish` say of each stage whether it has squeeze-excite, of a quarter of the expanded channels, and h-swish rather
    than ReLU. Whatever keeps its shape may be `identity`.
    """

    resolution: int = 224
    channels: int = 3
    classes: int = 1000
    width: float = 1.0  # multiplies stem, first, widths, head and mix
    stem: int = 16
    stem_stride: int = 2
    first: int = 16
    widths: tuple[int, ...] = (24, 40, 80, 112, 160)
    depths: tuple[int, ...] = (4, 4, 4, 4, 4)
    strides: tuple[int, ...] = (2, 2, 2, 1, 2)
    se: tuple[int, ...] = (0, 1, 0, 1, 1)
    hswish: tuple[int, ...] = (0, 0, 1, 1, 1)
    kernels: tuple[int, ...] = (3, 5, 7)
    expands: tuple[int, ...] = (3, 4, 6)
    head: int = 960
    mix: int = 1280

    def __post_init__(self) -> None:
        check_numbers(self, switches=["se", "hswish"])
        stages = {"widths": self.widths, "depths": self.depths, "strides": self.strides}
        check_stages(**stages, se=self.se, hswish=self.hswish)

    def layers(self) -> tuple[Layer, ...]:
        return chain_layers(Shape(self.resolution, self.resolution, self.channels), self._operations())

    def _operations(self) -> Iterator[tuple[str, list[Operation]]]:
        yield "stem", [Conv(self._scaled(self.stem), kernel=3, stride=self.stem_stride, act="hswish")]
        yield "first", [MBConv(self._scaled(self.first), act="relu")]
        channels = self._scaled(self.first)
        for stage, (out, depth) in enumerate(zip(self.widths, self.depths, strict=True)):
            for block in range(depth):
                bottlenecks = self._bottlenecks(channels, stage, self.strides[stage] if block == 0 else 1)
                yield f"stage{stage + 1}.block{block + 1}", [*bottlenecks, Identity()]
                channels = self._scaled(out)
        yield "head", [Conv(self._scaled(self.head), act="hswish")]
        yield "pool", [Pool()]
        yield "mix", [Mix(self._scaled(self.mix))]
        yield "classifier", [Classifier(self.classes)]

    def _bottlenecks(self, channels: int, stage: int, stride: int) -> Iterator[Operation]:
        out = self._scaled(self.widths[stage])
        act: Activation = "hswish" if self.hswish[stage] else "relu"
        for expand in self.expands:
            hidden = make_divisible(channels * expand // 4) if self.se[stage] else 0
            for kernel in self.kernels:
                yield MBConv(out, kernel=kernel, stride=stride, expand=expand, act=act, se=hidden)

    def _scaled(self, channels: int) -> int:
        return scaled(channels, self.width)
