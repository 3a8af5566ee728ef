"""Zen-NAS's networks: residual bottlenecks in pairs, of given widths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from pipeline.chain import chain_layers, check_numbers, check_stages
from pipeline.space import Layer
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity
from profilers.residual_ops import ResBlock
from profilers.shape import Shape, make_divisible


@dataclass(frozen=True, slots=True, kw_only=True)
class ZenChain:
    """Zen-NAS's networks (arXiv:2102.01063), with ZenNet-400M's numbers as defaults; kernels are decided, widths given.

    A stage is `depths` times a pair of blocks: one to its width in `bottlenecks`, one to its width in `widths`. With
    `depthwise` 1 the convolution in the middle is depthwise, on `expands` times the channels that its block gives; with
    0 it is full, on the bottleneck's, and both blocks give the stage's width. A block that keeps its shape may be
    `identity`, but for the first of a stage.
    """

    resolution: int = 224
    channels: int = 3
    classes: int = 1000
    stem: int = 16
    stem_stride: int = 2
    widths: tuple[int, ...] = (40, 64, 96, 224)
    bottlenecks: tuple[int, ...] = (40, 64, 96, 224)
    depths: tuple[int, ...] = (1, 1, 5, 5)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    expands: tuple[int, ...] = (1, 1, 4, 2)
    depthwise: int = 1
    se: int = 0  # 1: squeeze-excite of a quarter of the expanded channels
    kernels: tuple[int, ...] = (3, 5, 7)
    head: int = 2048

    def __post_init__(self) -> None:
        check_numbers(self, switches=["depthwise", "se"])
        stages = {"widths": self.widths, "bottlenecks": self.bottlenecks, "depths": self.depths}
        check_stages(**stages, strides=self.strides, expands=self.expands)

    def layers(self) -> tuple[Layer, ...]:
        return chain_layers(Shape(self.resolution, self.resolution, self.channels), self._operations())

    def _operations(self) -> Iterator[tuple[str, list[Operation]]]:
        yield "stem", [Conv(self.stem, kernel=3, stride=self.stem_stride, act="relu")]
        for stage, depth in enumerate(self.depths):
            for place in range(2 * depth):
                candidates: list[Operation] = [*self._blocks(stage, place)]
                yield f"stage{stage + 1}.block{place + 1}", candidates if place == 0 else [*candidates, Identity()]
        yield "head", [Conv(self.head, act="relu")]
        yield "classifier", [Classifier(self.classes)]

    def _blocks(self, stage: int, place: int) -> Iterator[ResBlock]:
        """The block at a place of a stage, a pair being two places, with each of the kernels."""
        out = self.bottlenecks[stage] if self.depthwise and place % 2 == 0 else self.widths[stage]
        wide = make_divisible(out * self.expands[stage]) if self.depthwise else self.bottlenecks[stage]
        conv: Literal["depthwise", "full"] = "depthwise" if self.depthwise else "full"
        project: Literal["changed", "always"] = "always" if place == 0 else "changed"
        stride, se = self.strides[stage] if place == 0 else 1, self.se * max(1, wide // 4)
        for kernel in self.kernels:
            yield ResBlock(out, wide, kernel, stride, conv, project, se)
