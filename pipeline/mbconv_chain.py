"""Chains of inverted bottlenecks: the family of MobileNetV2, ProxylessNAS, FBNet and MnasNet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.chain import chain_layers, check_numbers, check_stages, scaled
from pipeline.space import Layer
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity, MBConv
from profilers.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class MBConvChain:
    """ProxylessNAS's space (arXiv:1812.00332), its published numbers as defaults.

    Stem, one fixed bottleneck (kernel 3, expansion 1), stages of searched bottlenecks, 1x1 head, classifier.
    A searched bottleneck that keeps the shape of its input may also be `identity`: the paper's Zero, whose sum with the
    shortcut is the input itself, so the layer is removed.
    """

    resolution: int = 224
    channels: int = 3
    classes: int = 1000
    width: float = 1.0  # multiplies stem, first, widths; the head too, but only if it grows
    stem: int = 32
    stem_stride: int = 2
    first: int = 16
    widths: tuple[int, ...] = (24, 40, 80, 96, 192, 320)
    depths: tuple[int, ...] = (4, 4, 4, 4, 4, 1)
    strides: tuple[int, ...] = (2, 2, 2, 1, 2, 1)
    kernels: tuple[int, ...] = (3, 5, 7)
    expands: tuple[int, ...] = (3, 6)
    head: int = 1280

    def __post_init__(self) -> None:
        check_numbers(self)
        check_stages(widths=self.widths, depths=self.depths, strides=self.strides)

    def layers(self) -> tuple[Layer, ...]:
        return chain_layers(Shape(self.resolution, self.resolution, self.channels), self._operations())

    def _operations(self) -> Iterator[tuple[str, list[Operation]]]:
        """Name and operations of each layer, those that will not keep to its output shape included."""
        yield "stem", [Conv(self._scaled(self.stem), kernel=3, stride=self.stem_stride)]
        yield "first", [MBConv(self._scaled(self.first))]
        stages = zip(self.widths, self.depths, self.strides, strict=True)
        for stage, (out, depth, stride) in enumerate(stages, start=1):
            for block in range(1, depth + 1):
                bottlenecks = self._bottlenecks(self._scaled(out), stride if block == 1 else 1)
                yield f"stage{stage}.block{block}", [*bottlenecks, Identity()]
        yield "head", [Conv(max(self.head, self._scaled(self.head)))]
        yield "classifier", [Classifier(self.classes)]

    def _bottlenecks(self, out: int, stride: int) -> list[Operation]:
        return [MBConv(out, kernel=k, stride=stride, expand=e) for e in self.expands for k in self.kernels]

    def _scaled(self, channels: int) -> int:
        return scaled(channels, self.width)
