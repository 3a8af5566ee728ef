"""Chains of inverted bottlenecks: the family of MobileNetV2, ProxylessNAS, FBNet and MnasNet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from pipeline.space import Layer, SpaceError
from profilers.op_spec import OpSpec
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity, MBConv
from profilers.shape import Shape, make_divisible

LARGEST = 65536  # of any size or count: more is a slip of the keyboard


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
        if not 0 < self.width <= 10:
            raise SpaceError(f"width={self.width} must be above 0 and at most 10")
        for field in fields(self):
            value = getattr(self, field.name)
            numbers = value if isinstance(value, tuple) else (value,)
            if field.name != "width" and not all(1 <= number <= LARGEST for number in numbers):
                raise SpaceError(f"{field.name}={value} must be from 1 to {LARGEST}")
        if not len(self.widths) == len(self.depths) == len(self.strides):
            counts = f"{len(self.widths)}, {len(self.depths)} and {len(self.strides)}"
            raise SpaceError(f"widths, depths and strides describe {counts} stages; give as many of each")

    def layers(self) -> tuple[Layer, ...]:
        shape = Shape(self.resolution, self.resolution, self.channels)
        layers: list[Layer] = []
        for name, operations in self._operations():
            specs = [OpSpec(operation, shape) for operation in operations]
            shape = specs[0].out_shape
            layers.append(Layer(name, tuple(spec for spec in specs if spec.out_shape == shape)))
        return tuple(layers)

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
        return channels if self.width == 1 else make_divisible(channels * self.width)
