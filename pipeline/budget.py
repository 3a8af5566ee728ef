"""A latency budget: absolute or relative to what a space can do on a target."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import inf

from latency_tables.table import LatencyTable
from pipeline.architecture import Architecture
from pipeline.space import SearchSpace
from profilers.errors import MillisError
from profilers.target import Target

# A budget of 0% is the latency of one network, and a sum in another order differs in its last digits.
_ROUNDING = 1e-9

_PATTERN = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(ms|%)")


class BudgetError(MillisError):
    """No network of the space meets the budgets; the message gives the fastest reachable latency."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Budget:
    """`12ms`, or `40%` of the way from the fastest to the slowest network of the space."""

    value: float
    unit: str

    @staticmethod
    def parse(text: str) -> Budget:
        """Read `12ms` or `40%`; raises ValueError on anything else."""
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a budget; write 12ms, or 40% of the way from fastest to slowest")
        value, unit = float(match[1]), match[2]
        if unit == "ms" and not 0 < value < inf:
            raise ValueError(f"{text!r} is not a latency above zero")
        if value > 100 and unit == "%":
            raise ValueError(f"{text!r} is beyond the slowest network; a relative budget is at most 100%")
        return Budget(value, unit)

    def resolve_ms(self, reach: Reach) -> float:
        """The budget in ms on a target where the space has this reach."""
        if self.unit == "ms":
            return self.value
        return reach.fastest_ms + self.value / 100 * (reach.slowest_ms - reach.fastest_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Predicted latency of the fastest and the slowest network of a space on one target."""

    fastest_ms: float
    slowest_ms: float

    @staticmethod
    def of(space: SearchSpace, table: LatencyTable) -> Reach:
        """Latency is a sum over layers, so the extremes are found layer by layer. Raises MissingOpError."""
        costs = [[table.op_ms(op) for op in layer.candidates] for layer in space.layers]
        base_ms = table.network_ms(())
        return Reach(
            fastest_ms=base_ms + sum(map(min, costs)),
            slowest_ms=base_ms + sum(map(max, costs)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A target with its table and the latency that a network must not exceed there."""

    table: LatencyTable
    budget_ms: float

    @property
    def target(self) -> Target:
        return self.table.target

    def is_met_by(self, architecture: Architecture) -> bool:
        """Whether the predicted latency is within the budget."""
        return self.table.network_ms(architecture.ops()) <= self.budget_ms * (1 + _ROUNDING)
