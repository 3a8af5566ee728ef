"""One network of a search space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

from pipeline.space import SearchSpace, SpaceError
from pipeline.spaces import parse_space
from profilers.errors import FileError
from profilers.files import read_json, write_json
from profilers.op_spec import OpSpec

# Version of the architecture file. 1: space, choices by layer name and label.
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """A space and, for each of its decisions in order, the index of the candidate chosen."""

    space: SearchSpace
    choices: tuple[int, ...]

    def __post_init__(self) -> None:
        decisions = self.space.decisions
        if len(self.choices) != len(decisions):
            raise SpaceError(f"{self.space.name}: {len(self.choices)} choices for {len(decisions)} decisions")
        for choice, layer in zip(self.choices, decisions, strict=True):
            if not 0 <= choice < len(layer.candidates):
                raise SpaceError(f"{layer.name}: choice {choice} of {len(layer.candidates)} candidates")

    @staticmethod
    def random(space: SearchSpace, rng: Random) -> Architecture:
        """Every decision drawn on its own, every candidate equally likely: uniform over the space."""
        return Architecture(space, tuple(rng.randrange(len(layer.candidates)) for layer in space.decisions))

    @staticmethod
    def uniform(space: SearchSpace, label: str) -> Architecture:
        """The candidate of that label everywhere; raises SpaceError where a decision has none."""
        return Architecture(space, tuple(layer.index(label) for layer in space.decisions))

    @staticmethod
    def from_labels(space: SearchSpace, labels: Mapping[str, str]) -> Architecture:
        """The candidate named for each decision; raises SpaceError for a layer or a label too many or missing."""
        decisions = {layer.name: layer for layer in space.decisions}
        for name in labels:
            if name not in decisions:
                raise SpaceError(f"{name}: {space.name} decides no such layer; it decides {', '.join(decisions)}")
        for name, layer in decisions.items():
            if name not in labels:
                raise SpaceError(f"{name}: missing; choose one of {', '.join(layer.labels)}")
        return Architecture(space, tuple(layer.index(labels[name]) for name, layer in decisions.items()))

    @property
    def labels(self) -> dict[str, str]:
        """Layer name -> label of the candidate chosen, for the decisions only."""
        decided = zip(self.space.decisions, self.choices, strict=True)
        return {layer.name: layer.labels[choice] for layer, choice in decided}

    def ops(self) -> tuple[OpSpec, ...]:
        """One operation per layer of the space, fixed and free ones included. The only walk over a network."""
        choices = iter(self.choices)
        return tuple(layer.candidates[next(choices) if len(layer.candidates) > 1 else 0] for layer in self.space.layers)

    @property
    def macs(self) -> int:
        return sum(spec.macs for spec in self.ops())

    @property
    def params(self) -> int:
        return sum(spec.params for spec in self.ops())

    def save(self, path: Path) -> None:
        write_json(path, {"schema": SCHEMA, "space": self.space.name, "choices": self.labels})

    @staticmethod
    def load(path: Path) -> Architecture:
        """Read an architecture file; raises FileError naming file and field."""
        document = read_json(path, _Document, kind="architecture", schema=SCHEMA)
        try:
            space = parse_space(document.space)
        except SpaceError as error:
            raise FileError(f"{path}: space: {error}") from None
        try:
            return Architecture.from_labels(space, document.choices)
        except SpaceError as error:
            raise FileError(f"{path}: choices.{error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    space: str
    choices: dict[str, str]
