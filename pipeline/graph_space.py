"""Search spaces of any wiring: whatever is not a chain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any, ClassVar, Protocol, runtime_checkable

from pipeline.rules import best_choices, check_rules, count_choices, open_labels
from pipeline.space import Decision, Rule
from profilers.graph import Graph
from profilers.op_spec import OpSpec
from profilers.shape import Shape


@runtime_checkable
class Wiring(Protocol):
    """A frozen dataclass of numbers and lists of numbers that makes a space; raises SpaceError if they misfit."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def decisions(self) -> tuple[Decision, ...]: ...

    def rules(self) -> tuple[Rule, ...]: ...

    def graph(self, choices: Sequence[int]) -> Graph:
        """The network of one label for each decision. Each label adds the operations that its decision says."""


@dataclass(frozen=True)
class GraphSpace:
    """The space of a wiring; `name` is the text that rebuilds it."""

    name: str
    wiring: Wiring

    def __post_init__(self) -> None:
        check_rules(self.decisions, self.rules)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        return self.wiring.decisions()

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        return self.wiring.rules()

    @cached_property
    def fixed(self) -> tuple[OpSpec, ...]:
        """What no decision added, of any network."""
        chosen = zip(self.decisions, self._first, strict=True)
        added = Counter(op for decision, choice in chosen for op in decision.ops[choice])
        kept = []
        for op in self._example.ops():
            if added[op]:
                added[op] -= 1
            else:
                kept.append(op)
        return tuple(kept)

    @property
    def _first(self) -> tuple[int, ...]:
        return best_choices(self, [[0.0] * len(decision.labels) for decision in self.decisions])

    @cached_property
    def _example(self) -> Graph:
        return self.graph(self._first)

    @property
    def input_shape(self) -> Shape:
        return self._example.in_shape

    @property
    def classes(self) -> int:
        return self._example.out_shape.channels

    @property
    def size(self) -> int:
        return count_choices(self)

    def op_specs(self) -> tuple[OpSpec, ...]:
        """Fixed ones first, then decision by decision."""
        decided = (op for decision in self.decisions for ops in decision.ops for op in ops)
        return tuple(dict.fromkeys(op for op in (*self.fixed, *decided) if not op.free))

    def ops(self, choices: Sequence[int]) -> tuple[OpSpec, ...]:
        """Fixed ones first, then decision by decision."""
        chosen = zip(self.decisions, choices, strict=True)
        return (*self.fixed, *(op for decision, choice in chosen for op in decision.ops[choice]))

    def graph(self, choices: Sequence[int]) -> Graph:
        return self.wiring.graph(choices)

    def random(self, rng: Random) -> tuple[int, ...]:
        return tuple(labels[rng.randrange(len(labels))] for labels in open_labels(self, rng))
