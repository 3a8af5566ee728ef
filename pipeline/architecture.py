"""One network of a search space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import ClassVar

from pipeline.rules import check_choices, ruled
from pipeline.space import NONE, SearchSpace, SpaceError
from pipeline.spaces import parse_space
from profilers.errors import FileError
from profilers.files import read_json, write_json
from profilers.graph import Graph
from profilers.op_spec import OpSpec

# Version of the architecture file. 1: space, choices by name and label of the decisions that are kept.
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """A space and, for each of its decisions in order, the place of the label chosen."""

    space: SearchSpace
    choices: tuple[int, ...]

    def __post_init__(self) -> None:
        check_choices(self.space, self.choices)

    @staticmethod
    def random(space: SearchSpace, rng: Random) -> Architecture:
        """Uniform over the space."""
        return Architecture(space, space.random(rng))

    @staticmethod
    def uniform(space: SearchSpace, label: str) -> Architecture:
        """The candidate of that label everywhere; raises SpaceError where a decision has none."""
        return Architecture(space, tuple(decision.index(label) for decision in space.decisions))

    @staticmethod
    def from_labels(space: SearchSpace, labels: Mapping[str, str]) -> Architecture:
        """The label named for each decision; those that a rule may drop are dropped where they are not named.

        Raises SpaceError for a decision or a label too many or missing, and where a rule is broken.
        """
        decisions = {decision.name: decision for decision in space.decisions}
        for name in labels:
            if name not in decisions:
                raise SpaceError(f"{name}: {space.name} decides no such layer; it decides {', '.join(decisions)}")
        chosen = dict.fromkeys((space.decisions[place].name for place in ruled(space)), NONE) | dict(labels)
        for name, decision in decisions.items():
            if name not in chosen:
                raise SpaceError(f"{name}: missing; choose one of {', '.join(decision.labels)}")
        return Architecture(space, tuple(decision.index(chosen[name]) for name, decision in decisions.items()))

    @property
    def labels(self) -> dict[str, str]:
        """Decision name -> label chosen."""
        decided = zip(self.space.decisions, self.choices, strict=True)
        return {decision.name: decision.labels[choice] for decision, choice in decided}

    @property
    def kept(self) -> dict[str, str]:
        """The same without the decisions that rules dropped: enough to tell the network by."""
        dropped = {self.space.decisions[place].name for place in ruled(self.space)}
        return {name: label for name, label in self.labels.items() if label != NONE or name not in dropped}

    @property
    def text(self) -> str:
        """One line that tells the network within its space: labels, and which decisions a rule has kept."""
        bound = {self.space.decisions[place].name for place in ruled(self.space)}
        return " ".join(f"{name}={label}" if name in bound else label for name, label in self.kept.items())

    @staticmethod
    def parse(space: SearchSpace, text: str) -> Architecture:
        """Read the text again; raises SpaceError where it tells no network of the space."""
        words = text.split()
        named = dict(word.split("=", 1) for word in words if "=" in word)
        others = [word for word in words if "=" not in word]
        bound = ruled(space)
        free = [decision.name for place, decision in enumerate(space.decisions) if place not in bound]
        if len(others) != len(free):
            raise SpaceError(f"{space.name}: {len(others)} choices for {len(free)} decisions")
        return Architecture.from_labels(space, named | dict(zip(free, others, strict=True)))

    def graph(self) -> Graph:
        """The network: the only place where it is put together."""
        return self.space.graph(self.choices)

    def ops(self) -> tuple[OpSpec, ...]:
        """The operations of the network, fixed and free ones included."""
        return self.space.ops(self.choices)

    @property
    def macs(self) -> int:
        return sum(op.macs for op in self.ops())

    @property
    def params(self) -> int:
        return sum(op.params for op in self.ops())

    def save(self, path: Path) -> None:
        write_json(path, {"schema": SCHEMA, "space": self.space.name, "choices": self.kept})

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
