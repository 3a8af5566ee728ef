"""Search spaces: operations that are fixed, decisions among others, and how both are wired into a network."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from random import Random
from typing import Protocol

from profilers.errors import MillisError
from profilers.graph import Graph
from profilers.op_spec import OpSpec
from profilers.shape import Shape

NONE = "none"  # the label of choosing no operation at all


class SpaceError(MillisError):
    """A search space, or a choice in one, that does not exist or does not fit together."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Something a network leaves open: labels, and for each of them the operations that choosing it adds.

    In cells that share a decision, an operation is added for each of them.
    """

    name: str
    labels: tuple[str, ...]
    ops: tuple[tuple[OpSpec, ...], ...]

    def __post_init__(self) -> None:
        if repeated := _repeated(self.labels):
            raise SpaceError(f"{self.name}: two candidates are called {repeated}")
        if len(self.labels) != len(self.ops):
            raise SpaceError(f"{self.name}: {len(self.labels)} labels for {len(self.ops)} candidates")

    def index(self, label: str) -> int:
        """The place of a label; raises SpaceError listing the labels there are."""
        if label not in self.labels:
            raise SpaceError(f"{self.name}: no candidate {label!r}; there are {', '.join(self.labels)}")
        return self.labels.index(label)


@dataclass(frozen=True, slots=True)
class Rule:
    """Of the decisions at these places exactly `kept` are kept, which is to choose another label than NONE."""

    decisions: tuple[int, ...]
    kept: int


class SearchSpace(Protocol):
    """What strategies, tables and the derivation work on. `name` is the canonical text that rebuilds it."""

    @property
    def name(self) -> str: ...

    @property
    def input_shape(self) -> Shape: ...

    @property
    def classes(self) -> int: ...

    @property
    def fixed(self) -> tuple[OpSpec, ...]:
        """What stands in every network, whatever is decided."""

    @property
    def decisions(self) -> tuple[Decision, ...]: ...

    @property
    def rules(self) -> tuple[Rule, ...]:
        """No decision stands in two of them, and every one that stands in one has the label NONE."""

    @property
    def size(self) -> int:
        """How many architectures there are."""

    def op_specs(self) -> tuple[OpSpec, ...]:
        """What a latency table must hold: every operation once, the free ones left out."""

    def ops(self, choices: Sequence[int]) -> tuple[OpSpec, ...]:
        """What stands in the network of one label for each decision, by its place; the choices keep to the rules."""

    def graph(self, choices: Sequence[int]) -> Graph:
        """How it is wired."""

    def random(self, rng: Random) -> tuple[int, ...]:
        """Choices, uniform over the space."""


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

    @property
    def is_open(self) -> bool:
        return len(self.candidates) > 1


@dataclass(frozen=True)
class Chain:
    """The space of a chain of layers from image to logits, each of which decides for itself."""

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
    def input_shape(self) -> Shape:
        return self.layers[0].in_shape

    @property
    def classes(self) -> int:
        return self.layers[-1].out_shape.channels

    @cached_property
    def fixed(self) -> tuple[OpSpec, ...]:
        return tuple(layer.candidates[0] for layer in self.layers if not layer.is_open)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        return tuple(
            Decision(layer.name, layer.labels, tuple((op,) for op in layer.candidates))
            for layer in self.layers
            if layer.is_open
        )

    @property
    def rules(self) -> tuple[Rule, ...]:
        return ()

    @property
    def size(self) -> int:
        return math.prod(len(layer.candidates) for layer in self.layers)

    def op_specs(self) -> tuple[OpSpec, ...]:
        """In the order of the chain."""
        specs = (spec for layer in self.layers for spec in layer.candidates if not spec.free)
        return tuple(dict.fromkeys(specs))

    def ops(self, choices: Sequence[int]) -> tuple[OpSpec, ...]:
        """In the order of the chain."""
        remaining = iter(choices)
        return tuple(layer.candidates[next(remaining) if layer.is_open else 0] for layer in self.layers)

    def graph(self, choices: Sequence[int]) -> Graph:
        return Graph.chain(self.ops(choices), (layer.name for layer in self.layers))

    def random(self, rng: Random) -> tuple[int, ...]:
        return tuple(rng.randrange(len(decision.labels)) for decision in self.decisions)


def require_chain(space: SearchSpace) -> Chain:
    """The space, where it is a chain; raises SpaceError where it is not."""
    if not isinstance(space, Chain):
        raise SpaceError(f"space {space.name}: not a chain of layers, which is asked for here")
    return space


def _repeated(names: Iterable[str]) -> str | None:
    return next((name for name, count in Counter(names).items() if count > 1), None)
