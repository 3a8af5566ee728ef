"""A latency budget: absolute or relative to what a space can do on a target."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from latency_tables.table import LatencyTable
from pipeline.architecture import Architecture
from pipeline.rules import best_choices
from pipeline.space import SearchSpace
from profilers.errors import MillisError
from profilers.target import Target

# A budget of 0% is the latency of one network, and a sum in another order differs in its last digits.
_ROUNDING = 1e-9

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_PATTERN = re.compile(rf"{_NUMBER}\s*(ms|%)(?:\s*@\s*{_NUMBER}\s*%)?")


class BudgetError(MillisError):
    """No network of the space meets the budgets; the message gives the fastest reachable latency."""

    exit_code = 3


@dataclass(frozen=True, slots=True)
class Budget:
    """`12ms`, or `40%` of the way from the fastest to the slowest network of the space.

    `12ms@95%` is kept with 95 % confidence; without, the prediction itself keeps it.
    """

    value: float
    unit: str
    confidence: float | None = None  # from 0.5 to below 1

    @staticmethod
    def parse(text: str) -> Budget:
        """Read `12ms`, `40%`, `12ms@95%`; raises ValueError on anything else."""
        match = _PATTERN.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"{text!r} is not a budget; write 12ms, or 40% of the way from fastest to slowest; 12ms@95% to keep it "
                "with that confidence"
            )
        value, unit = float(match[1]), match[2]
        if unit == "ms" and not 0 < value < inf:
            raise ValueError(f"{text!r} is not a latency above zero")
        if value > 100 and unit == "%":
            raise ValueError(f"{text!r} is beyond the slowest network; a relative budget is at most 100%")
        if match[3] is None:
            return Budget(value, unit)
        if not 50 <= float(match[3]) < 100:
            raise ValueError(f"{text!r}: a confidence is from 50% to below 100%")
        return Budget(value, unit, float(match[3]) / 100)

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
        """Latency grows with a sum, so the extremes are found decision by decision. Raises MissingOpError."""
        added_ms = [[sum(map(table.op_ms, ops)) for ops in decision.ops] for decision in space.decisions]
        always_ms = table.sum_ms(space.fixed)

        def total_ms(choices: Sequence[int]) -> float:
            sum_ms = always_ms + sum(row[choice] for row, choice in zip(added_ms, choices, strict=True))
            return table.crowding.latency_ms(sum_ms)

        return Reach(
            fastest_ms=total_ms(best_choices(space, [[-ms for ms in row] for row in added_ms])),
            slowest_ms=total_ms(best_choices(space, added_ms)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A target with its table and the latency that a network must not exceed there.

    It is the predicted latency that must not, or with a confidence what is not exceeded at that confidence.
    """

    table: LatencyTable
    budget_ms: float
    confidence: float | None = None

    @property
    def target(self) -> Target:
        return self.table.target

    @property
    def sum_ms(self) -> float:
        """What the operations of a network within the budget may add up to."""
        return self.table.crowding.sum_ms(self.budget_ms)

    def is_met_by(self, architecture: Architecture) -> bool:
        """Whether the latency that counts is within the budget."""
        return self.latency_ms(architecture) <= self.budget_ms * (1 + _ROUNDING)

    def latency_ms(self, architecture: Architecture) -> float:
        """What counts: the predicted latency, or what a measurement does not exceed at the goal's confidence."""
        if self.confidence is None:
            return self.table.network_ms(architecture.ops())
        return self.table.predict(architecture.ops()).at_most_ms(self.confidence)
