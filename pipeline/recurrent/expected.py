"""Expected latency of a cell's step while it is searched, driven to its budgets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from latency_tables.expected import SupernetCost, supernet_cost
from pipeline.budget import Goal
from pipeline.multiplier import Multiplier
from pipeline.recurrent.edges import choice_probability
from pipeline.space import SearchSpace

# As in the other searches: the multiplier's rate in terms of alpha's learning rate, and the share of the steps over
# which the budget comes down from the latency of the first mixture.
MULTIPLIER_RATE = 10.0
DESCENT = 0.5


@dataclass(slots=True, kw_only=True)
class ExpectedLatency:
    """One cost and one multiplier for each goal; without goals it asks for nothing."""

    nodes: int
    goals: Sequence[Goal]
    costs: list[SupernetCost]
    first_ms: list[float]
    descent_steps: float
    multipliers: list[Multiplier]
    step: int = 0

    @staticmethod
    def of(
        space: SearchSpace, goals: Sequence[Goal], first: Tensor, steps: float, alpha_learning_rate: float
    ) -> ExpectedLatency:
        """`first` [E, 5] are the mixtures that the search begins with. Raises MissingOpError."""
        costs = [supernet_cost(goal.table, space.fixed, [each.ops for each in space.decisions]) for goal in goals]
        nodes = len(space.decisions)
        probability = choice_probability(first, nodes)
        return ExpectedLatency(
            nodes=nodes,
            goals=goals,
            costs=costs,
            first_ms=[float(cost.expected_ms(probability)) for cost in costs],
            descent_steps=DESCENT * steps,
            multipliers=[Multiplier(rate=MULTIPLIER_RATE * alpha_learning_rate) for _ in goals],
        )

    def expected_ms(self, mixture: Tensor) -> dict[str, float]:
        """By target, of mixtures [E, 5]."""
        probability = choice_probability(mixture, self.nodes)
        by_target = zip(self.goals, self.costs, strict=True)
        return {str(goal.target): float(cost.expected_ms(probability)) for goal, cost in by_target}

    def gradient(self, alpha: Tensor) -> Tensor:
        """What the budgets add to the gradient of alpha in this step; the multipliers are taken a step further."""
        if not self.goals:
            return torch.zeros_like(alpha)
        probability = choice_probability(alpha.softmax(-1), self.nodes)
        total = torch.zeros(())
        by_target = zip(self.goals, self.costs, self.multipliers, self.first_ms, strict=True)
        for goal, cost, multiplier, first_ms in by_target:
            expected = cost.expected_ms(probability)
            left = max(0.0, 1 - self.step / self.descent_steps)
            budget_ms = goal.budget_ms * math.pow(max(1.0, first_ms / goal.budget_ms), left)
            now_ms = float(expected.detach())
            total = total + multiplier.weight(now_ms, budget_ms) * expected.log()
            multiplier.update(now_ms, budget_ms)
        self.step += 1
        return torch.autograd.grad(total, [alpha])[0]

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "multipliers": [asdict(each) for each in self.multipliers]}

    def restore(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.multipliers = [Multiplier(**each) for each in state["multipliers"]]
