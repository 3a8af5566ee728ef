"""Deriving a network: the most probable one that meets every budget, exactly.

A multiple-choice knapsack: one candidate per decision, total log-probability as large as possible, latency within
budget on every target. Solved to optimality by mixed-integer programming.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal, Reach
from pipeline.space import SearchSpace

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
    """The most probable architecture within every budget, and not below `at_least` of the first budget.

    Raises BudgetError where no architecture meets the budgets, MissingOpError where a table lacks an operation.
    """
    for clearance in (0.0, _CLEARANCE):
        architecture = _solve(space, log_probability, goals, at_least, clearance)
        if architecture is None:
            break
        if all(goal.is_met_by(architecture) for goal in goals):
            return architecture
    raise BudgetError(_unreachable(space, goals))


def require_feasible(space: SearchSpace, goals: Sequence[Goal]) -> None:
    """Raise BudgetError where no architecture meets the budgets, each of them and all together."""
    derive(space, {layer.name: dict.fromkeys(layer.labels, 0.0) for layer in space.decisions}, goals)


def _solve(
    space: SearchSpace, log_probability: LogProbability, goals: Sequence[Goal], at_least: float, clearance: float
) -> Architecture | None:
    """The solver's optimum, or None where it finds no solution."""
    if not space.decisions:
        return Architecture(space, ())
    import numpy as np
    from scipy.optimize import Bounds, milp

    objective = [-log_probability[layer.name][label] for layer in space.decisions for label in layer.labels]
    within = [_latency(space, goal, at_least if i == 0 else 0.0, 1 - clearance) for i, goal in enumerate(goals)]
    solved = milp(
        np.array(objective),
        constraints=[_one_each(space), *within],
        bounds=Bounds(0, 1),
        integrality=np.ones(len(objective)),
        options={"mip_rel_gap": 0.0},
    )
    return None if solved.x is None else Architecture(space, _choices(space, solved.x))


def _one_each(space: SearchSpace) -> LinearConstraint:
    """Each decision takes exactly one of its candidates."""
    import numpy as np
    from scipy.optimize import LinearConstraint

    sizes = [len(layer.candidates) for layer in space.decisions]
    rows = np.repeat(np.eye(len(sizes)), sizes, axis=1)
    return LinearConstraint(rows, 1, 1)


def _latency(space: SearchSpace, goal: Goal, least: float, most: float) -> LinearConstraint:
    """Latency lies between two shares of the budget."""
    import numpy as np
    from scipy.optimize import LinearConstraint

    share = np.array([goal.table.op_ms(op) for layer in space.decisions for op in layer.candidates]) / goal.budget_ms
    fixed = _fixed_ms(space, goal) / goal.budget_ms
    return LinearConstraint(share[None, :], least - fixed, most - fixed)


def _fixed_ms(space: SearchSpace, goal: Goal) -> float:
    return goal.table.network_ms(layer.candidates[0] for layer in space.layers if len(layer.candidates) == 1)


def _choices(space: SearchSpace, solution: Sequence[float]) -> tuple[int, ...]:
    choices = []
    start = 0
    for layer in space.decisions:
        taken = solution[start : start + len(layer.candidates)]
        choices.append(max(range(len(taken)), key=lambda k: taken[k]))
        start += len(layer.candidates)
    return tuple(choices)


def _unreachable(space: SearchSpace, goals: Sequence[Goal]) -> str:
    """Each target's budget and fastest reachable latency, in one line."""
    fastest = [Reach.of(space, goal.table).fastest_ms for goal in goals]
    told = "; ".join(
        f"{goal.budget_ms:.4g} ms on {goal.target}, where the fastest reachable is {ms:.4g} ms"
        for goal, ms in zip(goals, fastest, strict=True)
    )
    together = len(goals) > 1 and all(ms <= goal.budget_ms for goal, ms in zip(goals, fastest, strict=True))
    return f"no network of {space.name} meets the budget of {told}" + (
        "; each can be met alone, but not together" if together else ""
    )
