"""Deriving a network: the most probable one that meets every budget, exactly.

A multiple-choice knapsack: one candidate per decision, total log-probability as large as possible, latency within
budget on every target, as many decisions kept as the rules of the space say. Solved to optimality by mixed-integer
programming, also where the budget is to be kept with a confidence.

A decision that a rule drops scores nothing. So `none` takes part in a softmax, and weakens what it stands beside, but
is no choice of its own: without a budget the result is what DARTS derives (arXiv:1806.09055, section 2.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal
from pipeline.rules import best_choices, ruled
from pipeline.space import NONE, SearchSpace
from profilers.op_spec import OpSpec

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint

# Decision name -> candidate label -> log-probability.
LogProbability = Mapping[str, Mapping[str, float]]

# The solver oversteps a constraint by up to this share of the budget; where that took it beyond the budget it is asked
# again, to keep clear.
_CLEARANCE = 1e-6


def derive(
    space: SearchSpace, log_probability: LogProbability, goals: Sequence[Goal], *, at_least: float = 0.0
) -> Architecture:
    """The most probable architecture within every budget, and not predicted below `at_least` of the first budget.

    What is not exceeded at a confidence is convex in the choices. It is bounded by its tangents at the networks that
    the solver proposes, until one of them keeps the budget: that one is the optimum (Kelley's cutting planes).

    Raises BudgetError where no architecture meets the budgets, MissingOpError where a table lacks an operation.
    """
    scores = [_scores(space, place, log_probability) for place in range(len(space.decisions))]
    within = [_predicted(space, goal, at_least if i == 0 else 0.0) for i, goal in enumerate(goals)]
    unbounded = Architecture(space, best_choices(space, scores))
    if _keeps(unbounded, goals, at_least):
        return unbounded
    while (architecture := _solve(space, scores, within)) is not None:
        missed = [goal for goal in goals if not goal.is_met_by(architecture)]
        if not missed:
            return architecture
        # Without a confidence the bound is exact, and it was the solver that overstepped it by a rounding.
        within += [_other_than(architecture), *(_tangent(space, goal, architecture) for goal in missed)]
    raise BudgetError(_unreachable(space, goals))


def require_feasible(space: SearchSpace, goals: Sequence[Goal]) -> None:
    """Raise BudgetError where no architecture meets the budgets, each of them and all together."""
    derive(space, {decision.name: dict.fromkeys(decision.labels, 0.0) for decision in space.decisions}, goals)


def _scores(space: SearchSpace, place: int, log_probability: LogProbability) -> list[float]:
    """Of the labels of a decision."""
    decision = space.decisions[place]
    drops = NONE if place in ruled(space) else None
    return [0.0 if label == drops else log_probability[decision.name][label] for label in decision.labels]


def _keeps(architecture: Architecture, goals: Sequence[Goal], at_least: float) -> bool:
    if at_least and goals[0].table.network_ms(architecture.ops()) < at_least * goals[0].budget_ms:
        return False
    return all(goal.is_met_by(architecture) for goal in goals)


def _solve(
    space: SearchSpace, scores: Sequence[Sequence[float]], within: Sequence[LinearConstraint]
) -> Architecture | None:
    """The solver's optimum, or None where it finds no solution."""
    import numpy as np
    from scipy.optimize import Bounds, milp

    if not space.decisions:  # the one network there is was found wanting
        return None
    objective = [-score for row in scores for score in row]
    solved = milp(
        np.array(objective),
        constraints=[_one_each(space), *_as_ruled(space), *within],
        bounds=Bounds(0, 1),
        integrality=np.ones(len(objective)),
        options={"mip_rel_gap": 0.0},
    )
    return None if solved.x is None else Architecture(space, _choices(space, solved.x))


def _one_each(space: SearchSpace) -> LinearConstraint:
    """Each decision takes exactly one of its candidates."""
    import numpy as np
    from scipy.optimize import LinearConstraint

    sizes = [len(decision.labels) for decision in space.decisions]
    rows = np.repeat(np.eye(len(sizes)), sizes, axis=1)
    return LinearConstraint(rows, 1, 1)


def _as_ruled(space: SearchSpace) -> list[LinearConstraint]:
    """Each rule keeps as many decisions as it says."""
    import numpy as np
    from scipy.optimize import LinearConstraint

    keeps = np.array([label != NONE for decision in space.decisions for label in decision.labels])
    owner = np.repeat(np.arange(len(space.decisions)), [len(decision.labels) for decision in space.decisions])
    return [
        LinearConstraint((keeps & np.isin(owner, rule.decisions)).astype(float)[None, :], rule.kept, rule.kept)
        for rule in space.rules
    ]


def _other_than(architecture: Architecture) -> LinearConstraint:
    """At least one decision differs, so that no network is proposed twice."""
    import numpy as np
    from scipy.optimize import LinearConstraint

    decided = zip(architecture.choices, architecture.space.decisions, strict=True)
    chosen = np.concatenate([np.eye(len(decision.labels))[choice] for choice, decision in decided])
    return LinearConstraint(chosen[None, :], 0, len(architecture.choices) - 1)


def _predicted(space: SearchSpace, goal: Goal, least: float) -> LinearConstraint:
    """Predicted latency lies between a share of the budget and the budget."""
    table = goal.table
    least_ms = table.crowding.sum_ms(least * goal.budget_ms)
    return _bounded(space, goal, table.sum_ms(()), table.op_ms, least_ms / goal.sum_ms)


def _tangent(space: SearchSpace, goal: Goal, architecture: Architecture) -> LinearConstraint:
    """What counts for the goal lies above its tangent at this architecture, which lies below the budget."""
    if goal.confidence is None:
        return _bounded(space, goal, goal.table.sum_ms(()), goal.table.op_ms, 0.0, 1 - _CLEARANCE)
    base_ms, cost_ms = goal.table.tangent(architecture.ops(), goal.confidence)
    return _bounded(space, goal, base_ms, lambda op: 0.0 if op.free else cost_ms[op], -inf, 1 - _CLEARANCE)


def _bounded(
    space: SearchSpace,
    goal: Goal,
    base_ms: float,
    cost_ms: Callable[[OpSpec], float],
    least: float,
    most: float = 1.0,
) -> LinearConstraint:
    """A base and the costs of the operations chosen add up to between two shares of what the budget has room for."""
    import numpy as np
    from scipy.optimize import LinearConstraint

    added_ms = [sum(map(cost_ms, ops)) for decision in space.decisions for ops in decision.ops]
    share = np.array(added_ms) / goal.sum_ms
    always_ms = base_ms + sum(map(cost_ms, space.fixed))
    fixed = always_ms / goal.sum_ms
    return LinearConstraint(share[None, :], least - fixed, most - fixed)


def _choices(space: SearchSpace, solution: Sequence[float]) -> tuple[int, ...]:
    choices = []
    start = 0
    for decision in space.decisions:
        taken = solution[start : start + len(decision.labels)]
        choices.append(max(range(len(taken)), key=lambda k: taken[k]))
        start += len(decision.labels)
    return tuple(choices)


def _unreachable(space: SearchSpace, goals: Sequence[Goal]) -> str:
    """Each target's budget and fastest reachable latency, in one line."""
    fastest = [_fastest_ms(space, goal) for goal in goals]
    told = "; ".join(
        f"{goal.budget_ms:.4g} ms on {goal.target}{_with(goal)}, where the fastest reachable is {ms:.4g} ms"
        for goal, ms in zip(goals, fastest, strict=True)
    )
    together = len(goals) > 1 and all(ms <= goal.budget_ms for goal, ms in zip(goals, fastest, strict=True))
    return f"no network of {space.name} meets the budget of {told}" + (
        "; each can be met alone, but not together" if together else ""
    )


def _fastest_ms(space: SearchSpace, goal: Goal) -> float:
    """What counts for the goal, of the network that is predicted to be the fastest."""
    saved_ms = [[-sum(map(goal.table.op_ms, ops)) for ops in decision.ops] for decision in space.decisions]
    return goal.latency_ms(Architecture(space, best_choices(space, saved_ms)))


def _with(goal: Goal) -> str:
    return "" if goal.confidence is None else f" with {goal.confidence:.0%} confidence"
