"""The multiplier that drives expected latency to its budget, so that nobody has to guess a latency weight."""

from __future__ import annotations

import math
from dataclasses import dataclass

# Bounds of the multiplier: far beyond both, cross entropy or latency alone decides.
LOWEST, HIGHEST = 1e-3, 1e3


@dataclass(slots=True, kw_only=True)
class Multiplier:
    """Dual ascent in the log domain on log(expected / budget) <= 0, damped.

    The integral part remembers how much weight the budget needed so far; the proportional part answers at once, which
    keeps the two from chasing each other. Both act on the logarithm of the weight: it stays positive, and a budget in
    microseconds behaves as one in seconds. `rate`, of the integral, is tied to the learning rate of what is steered.
    """

    integral: float = math.log(0.1)
    rate: float
    damping: float = 5.0

    def weight(self, expected_ms: float, budget_ms: float) -> float:
        """The weight of log(expected latency) in the loss of this step."""
        exponent = self.integral + self.damping * math.log(expected_ms / budget_ms)
        return math.exp(min(max(exponent, math.log(LOWEST)), math.log(HIGHEST)))

    def update(self, expected_ms: float, budget_ms: float) -> None:
        """Ascend by one step."""
        raised = self.integral + self.rate * math.log(expected_ms / budget_ms)
        self.integral = min(max(raised, math.log(LOWEST)), math.log(HIGHEST))
