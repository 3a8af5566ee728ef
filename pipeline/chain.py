"""What the families of spaces have in common: numbers that make sense, and layers that follow one another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

from pipeline.space import Layer, SpaceError
from profilers.op_spec import OpSpec
from profilers.operation import Operation
from profilers.shape import Shape, make_divisible

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

LARGEST = 65536  # of any size or count: more is a slip of the keyboard


def check_numbers(options: DataclassInstance, switches: Sequence[str] = ()) -> None:
    """Every whole number from 1 to LARGEST, those of `switches` 0 or 1, a width above 0; raises SpaceError."""
    for field in fields(options):
        value = getattr(options, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if field.name == "width":
            if not 0 < value <= 10:
                raise SpaceError(f"width={value} must be above 0 and at most 10")
        elif field.name in switches:
            if not all(number in {0, 1} for number in numbers):
                raise SpaceError(f"{field.name}={value} must be 0 or 1")
        elif not all(1 <= number <= LARGEST for number in numbers):
            raise SpaceError(f"{field.name}={value} must be from 1 to {LARGEST}")


def check_least(options: DataclassInstance, **least: int) -> None:
    """Each of these numbers from what it is at least to LARGEST; raises SpaceError."""
    for name, number in least.items():
        if not number <= getattr(options, name) <= LARGEST:
            raise SpaceError(f"{name}={getattr(options, name)} must be from {number} to {LARGEST}")


def check_stages(**lists: tuple[int, ...]) -> None:
    """As many numbers in each list as there are stages; raises SpaceError naming the lists."""
    if len({len(each) for each in lists.values()}) > 1:
        *names, last = lists
        *counts, count = (str(len(each)) for each in lists.values())
        told = f"{', '.join(names)} and {last} describe {', '.join(counts)} and {count} stages"
        raise SpaceError(f"{told}; give as many of each")


def chain_layers(image: Shape, named: Iterable[tuple[str, Sequence[Operation]]]) -> tuple[Layer, ...]:
    """A layer for each name, of those of its operations that give the shape that the first one gives."""
    shape = image
    layers: list[Layer] = []
    for name, operations in named:
        specs = [OpSpec(operation, shape) for operation in operations]
        shape = specs[0].out_shape
        layers.append(Layer(name, tuple(spec for spec in specs if spec.out_shape == shape)))
    return tuple(layers)


def scaled(channels: int, width: float) -> int:
    """Channels under a width multiplier, a multiple of eight; as they are at width 1."""
    return channels if width == 1 else make_divisible(channels * width)
