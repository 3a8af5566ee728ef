"""FBNet's space: 22 layers, nine candidates each, group convolution with channel shuffle among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipeline.chain import chain_layers, check_numbers, check_stages, scaled
from pipeline.space import Layer
from profilers.mobile_ops import GroupMBConv
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity, MBConv
from profilers.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class FBNetChain:
    """FBNet's space (arXiv:1812.03443), its numbers as defaults: stem, stages of searched blocks, head, classifier.

    Every layer may be skipped: by `identity`, or by a strided 1x1 convolution, `k1`, where the shape changes. With
    `pointwise` 1 a block of expansion 1 begins with a 1x1 convolution, as in the paper; with 0 it has none, as in the
    networks that were published with weights.
    """

    resolution: int = 224
    channels: int = 3
    classes: int = 1000
    width: float = 1.0  # multiplies stem and widths; the head too, but only if it grows
    stem: int = 16
    stem_stride: int = 2
    widths: tuple[int, ...] = (16, 24, 32, 64, 112, 184, 352)
    depths: tuple[int, ...] = (1, 4, 4, 4, 4, 4, 1)
    strides: tuple[int, ...] = (1, 2, 2, 2, 1, 2, 1)
    kernels: tuple[int, ...] = (3, 5)
    expands: tuple[int, ...] = (1, 3, 6)
    groups: int = 2  # of the 1x1 convolutions of a second block of expansion 1; at 1 there is none
    pointwise: int = 0
    head: int = 1504

    def __post_init__(self) -> None:
        check_numbers(self, switches=["pointwise"])
        check_stages(widths=self.widths, depths=self.depths, strides=self.strides)

    def layers(self) -> tuple[Layer, ...]:
        return chain_layers(Shape(self.resolution, self.resolution, self.channels), self._operations())

    def _operations(self) -> Iterator[tuple[str, list[Operation]]]:
        yield "stem", [Conv(scaled(self.stem, self.width), kernel=3, stride=self.stem_stride, act="relu")]
        channels = scaled(self.stem, self.width)
        stages = zip(self.widths, self.depths, self.strides, strict=True)
        for stage, (width, depth, first_stride) in enumerate(stages, start=1):
            out = scaled(width, self.width)
            for block in range(1, depth + 1):
                stride = first_stride if block == 1 else 1
                kept = stride == 1 and channels == out
                skip = Identity() if kept else Conv(out, kernel=1, stride=stride, act="relu")
                yield f"stage{stage}.block{block}", [*self._blocks(out, stride), skip]
                channels = out
        yield "head", [Conv(max(self.head, scaled(self.head, self.width)), act="relu")]
        yield "classifier", [Classifier(self.classes)]

    def _blocks(self, out: int, stride: int) -> Iterator[Operation]:
        for kernel in self.kernels:
            for expand in self.expands:
                yield self._block(out, kernel, stride, expand)
                if expand == 1 and self.groups > 1:
                    yield self._grouped(out, kernel, stride, self.groups)

    def _block(self, out: int, kernel: int, stride: int, expand: int) -> Operation:
        if expand == 1 and self.pointwise:
            return self._grouped(out, kernel, stride, 1)
        return MBConv(out, kernel=kernel, stride=stride, expand=expand, act="relu")

    def _grouped(self, out: int, kernel: int, stride: int, groups: int) -> Operation:
        first: Literal["always", "expanding"] = "always" if self.pointwise else "expanding"
        return GroupMBConv(out, kernel=kernel, stride=stride, groups=groups, first=first)
