"""The latency term of a search: what expected latency adds to, or makes of, the loss that decides the architecture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from latency_tables.crowding import Crowding
from latency_tables.expected import supernet_cost
from pipeline.budget import Goal
from pipeline.multiplier import Multiplier
from pipeline.search_settings import SearchSettings
from pipeline.search_task import SearchError, SearchTask
from pipeline.space import NONE, SearchSpace

# The multiplier's rate in terms of alpha's learning rate: both then take about as many steps to answer.
MULTIPLIER_RATE = 10.0
# The share of the architecture steps over which the budget comes down from the latency of the first distribution: at
# once, latency alone would decide while the weights know too little to object.
DESCENT = 0.5
UNITS_PER_MS = {"ms": 1.0, "us": 1000.0}


@dataclass(slots=True, kw_only=True)
class LatencyLoss:
    """Expected latency on every target, and its part in the loss; the multipliers are all that changes.

    `adaptive` (ours): CE + sum of w log E, where w follows the budget. With one term or factor for each target:
    `mul#log`: a CE (log E / log budget)^b and `add#linear`: CE + lambda (E / budget - 1), as in ProxylessNAS's code
    (arXiv:1812.00332); `power`: a CE (log E)^b, FBNet's (arXiv:1812.03443), which knows no budget.
    """

    goals: Sequence[Goal]
    settings: SearchSettings
    fixed_ms: Tensor  # [T]
    cost_ms: Tensor  # [T, L * K]
    crowding: Sequence[Crowding]  # [T]
    kept: _Kept | None
    descent_steps: float
    multipliers: list[Multiplier]
    first_ms: list[float] = field(default_factory=list)  # [T] expected latency of the first distribution

    @staticmethod
    def of(task: SearchTask, first: Tensor, architecture_steps: float) -> LatencyLoss:
        """`first` [L, K] is the distribution that the search begins with. Raises MissingOpError."""
        space = task.space
        added = [decision.ops for decision in space.decisions]
        costs = [supernet_cost(goal.table, space.fixed, added) for goal in task.goals]
        rate = MULTIPLIER_RATE * task.settings.alpha_learning_rate
        loss = LatencyLoss(
            goals=task.goals,
            settings=task.settings,
            fixed_ms=torch.tensor([cost.fixed_ms for cost in costs]),
            cost_ms=torch.stack([cost.cost_ms.flatten() for cost in costs]),
            crowding=[cost.crowding for cost in costs],
            kept=_Kept.of(space, first.shape),
            descent_steps=DESCENT * architecture_steps,
            multipliers=[Multiplier(rate=rate) for _ in task.goals],
        )
        loss.first_ms = loss.expected_ms(first).tolist()
        return loss

    def expected_ms(self, probability: Tensor) -> Tensor:
        """Probability [L, K] -> [T], all targets in one product."""
        kept = probability if self.kept is None else self.kept.scaled(probability)
        sums_ms = self.fixed_ms + self.cost_ms @ kept.flatten()
        return torch.stack([each.latency_ms(ms) for each, ms in zip(self.crowding, sums_ms, strict=True)])

    def combined(self, cross_entropy: Tensor, probability: Tensor, architecture_step: int) -> Tensor:
        """The loss that alpha descends. Raises SearchError where a logarithm of latency is not above zero."""
        expected = self.expected_ms(probability)
        form, settings = self.settings.latency_loss, self.settings
        if form == "adaptive":
            weights = self._weights(expected.tolist(), architecture_step)
            return cross_entropy + expected.log() @ torch.tensor(weights)
        budgets = torch.tensor([goal.budget_ms for goal in self.goals])
        if form == "add#linear":
            return cross_entropy + settings.latency_weight * (expected / budgets - 1).sum()
        factors = self._log(expected) / (self._log(budgets) if form == "mul#log" else 1)
        return settings.latency_scale * cross_entropy * factors.pow(settings.latency_power).prod()

    def multiplier_weights(self, expected_ms: Sequence[float]) -> dict[str, float]:
        """The weight of each target's latency in the loss, by target; none where the form has no multiplier."""
        if self.settings.latency_loss != "adaptive":
            return {}
        by_target = zip(self.goals, self.multipliers, expected_ms, strict=True)
        return {str(goal.target): each.weight(ms, goal.budget_ms) for goal, each, ms in by_target}

    def budget_ms(self, architecture_step: int, first_ms: float, budget_ms: float) -> float:
        """The budget of one architecture step: from `first_ms` down to the budget on a straight line of logarithms."""
        left = max(0.0, 1 - architecture_step / self.descent_steps)
        return budget_ms * math.pow(max(1.0, first_ms / budget_ms), left)

    def state(self) -> list[dict[str, Any]]:
        return [asdict(multiplier) for multiplier in self.multipliers]

    def restore(self, state: list[dict[str, Any]]) -> None:
        self.multipliers = [Multiplier(**multiplier) for multiplier in state]

    def _weights(self, expected_ms: Sequence[float], architecture_step: int) -> list[float]:
        """The multipliers' weights at this step; each is then taken a step further."""
        weights = []
        for goal, multiplier, first_ms, now_ms in zip(
            self.goals, self.multipliers, self.first_ms, expected_ms, strict=True
        ):
            budget_ms = self.budget_ms(architecture_step, first_ms, goal.budget_ms)
            weights.append(multiplier.weight(now_ms, budget_ms))
            multiplier.update(now_ms, budget_ms)
        return weights

    def _log(self, ms: Tensor) -> Tensor:
        units = ms * UNITS_PER_MS[self.settings.latency_unit]
        if not (units > 1).all():
            unit = self.settings.latency_unit
            raise SearchError(
                f"search: latency_loss {self.settings.latency_loss} takes the logarithm of latencies above 1 {unit}, "
                f"and here is one of {units.min():.3g} {unit}: "
                + ("set latency_unit to us" if unit == "ms" else "set latency_loss to adaptive")
            )
        return units.log()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """What the rules of a space make of a distribution, of which a network keeps only some decisions.

    The shares of each rule's decisions are scaled so that as many are kept in all as the rule says: the expected
    latency is then that of a network, and once all is decided it is the network's own.
    """

    something: Tensor  # [L, K] 1 but for the label that drops a decision
    members: Tensor  # [R, L] 1 where a rule is about a decision
    kept: Tensor  # [R]

    @staticmethod
    def of(space: SearchSpace, shape: torch.Size) -> _Kept | None:
        """None where nothing is dropped."""
        if not space.rules:
            return None
        something = torch.ones(shape)
        members = torch.zeros(len(space.rules), shape[0])
        for number, rule in enumerate(space.rules):
            for place in rule.decisions:
                members[number, place] = 1
                something[place, space.decisions[place].index(NONE)] = 0
        return _Kept(something=something, members=members, kept=torch.tensor([float(r.kept) for r in space.rules]))

    def scaled(self, probability: Tensor) -> Tensor:
        in_rule = self.members @ (probability * self.something).sum(1)
        scale = 1 + (self.kept / in_rule.clamp_min(1e-6) - 1) @ self.members
        return probability * scale[:, None]
