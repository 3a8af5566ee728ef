"""Search spaces: chains of layers, some of them open."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from profilers.errors import MillisError
from profilers.op_spec import OpSpec
from profilers.shape import Shape


class SpaceError(MillisError):
    """A search space, or a choice in one, that does not exist or does not fit together."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One place of a chain and the operations that may stand there; more than one make it a decision."""

    name: str
    candidates: tuple[OpSpec, ...]

    def __post_init__(self) -> None:
        if not self.candidates:
            raise SpaceError(f"layer {self.name}: no candidates")
        if len({(spec.in_shape, spec.out_shape) for spec in self.candidates}) > 1:
            raise SpaceError(f"layer {self.name}: its candidates differ in input or output shape")
        if repeated := _repeated(self.labels):
            raise SpaceError(f"layer {self.name}: two candidates are called {repeated}")

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(spec.label for spec in self.candidates)

    @property
    def in_shape(self) -> Shape:
        return self.candidates[0].in_shape

    @property
    def out_shape(self) -> Shape:
        return self.candidates[0].out_shape

    def index(self, label: str) -> int:
        """The place of the candidate with that label; raises SpaceError listing the labels there are."""
        if label not in self.labels:
            raise SpaceError(f"{self.name}: no candidate {label!r}; there are {', '.join(self.labels)}")
        return self.labels.index(label)


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """A chain of layers from image to logits; `name` is the canonical text that rebuilds it."""

    name: str
    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        if not self.layers:
            raise SpaceError(f"space {self.name}: no layers")
        if repeated := _repeated(layer.name for layer in self.layers):
            raise SpaceError(f"space {self.name}: two layers are called {repeated}")
        for before, after in pairwise(self.layers):
            if before.out_shape != after.in_shape:
                raise SpaceError(
                    f"space {self.name}: {before.name} gives {before.out_shape}, {after.name} takes {after.in_shape}"
                )

    @property
    def decisions(self) -> tuple[Layer, ...]:
        return tuple(layer for layer in self.layers if len(layer.candidates) > 1)

    @property
    def size(self) -> int:
        """How many architectures there are."""
        return math.prod(len(layer.candidates) for layer in self.layers)

    @property
    def input_shape(self) -> Shape:
        return self.layers[0].in_shape

    @property
    def classes(self) -> int:
        return self.layers[-1].out_shape.channels

    def op_specs(self) -> tuple[OpSpec, ...]:
        """What a latency table must hold: every candidate once, in chain order, the free ones left out."""
        specs = (spec for layer in self.layers for spec in layer.candidates if not spec.free)
        return tuple(dict.fromkeys(specs))


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
