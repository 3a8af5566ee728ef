"""The multiplier on a small convex problem: softmax alphas, invented costs, a loss with its best point known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.latency_loss import MULTIPLIER_RATE
from pipeline.multiplier import HIGHEST, LOWEST, Multiplier

LEARNING_RATE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Expected latency at the end and at the loss's own best point, by the budget; distance from that point."""

    latency: float
    unconstrained: float
    distance: float
    trajectory: tuple[float, ...]


def descend(share: float, *, unit: float = 1.0, seed: int = 0, steps: int = 800) -> Ended:
    """Minimise |p - wanted|^2 under a budget so far from the fastest network to the wanted one; costs in `unit`s."""
    random = torch.Generator().manual_seed(seed)
    cost = torch.rand(6, 4, generator=random).sort(1).values * unit + 0.1 * unit
    wanted = torch.rand(6, 4, generator=random).sort(1).values.mul(3).softmax(1)  # leans towards the slow ones
    alpha = (1e-3 * torch.randn(6, 4, generator=random)).requires_grad_()
    optimizer = torch.optim.Adam([alpha], lr=LEARNING_RATE, betas=(0.0, 0.999))
    multiplier = Multiplier(rate=MULTIPLIER_RATE * LEARNING_RATE)
    fastest, unconstrained = cost.amin(1).sum().item(), (wanted * cost).sum().item()
    budget = fastest + share * (unconstrained - fastest)
    trajectory = []
    for _ in range(steps):
        expected = (alpha.softmax(1) * cost).sum()
        loss = (alpha.softmax(1) - wanted).square().sum()
        loss = loss + multiplier.weight(expected.item(), budget) * expected.log()
        multiplier.update(expected.item(), budget)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        trajectory.append(expected.item() / budget)
    distance = (alpha.softmax(1) - wanted).abs().max().item()
    return Ended(
        latency=trajectory[-1], unconstrained=unconstrained / budget, distance=distance, trajectory=tuple(trajectory)
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_expected_latency_ends_at_a_budget_that_binds(share: float, seed: int) -> None:
    ended = descend(share, seed=seed)
    assert ended.unconstrained > 1
    assert all(0.95 < latency < 1.05 for latency in ended.trajectory[-100:])


@pytest.mark.parametrize("share", [1.2, 2.0])
def test_nothing_is_traded_for_latency_that_nobody_asked_for(share: float) -> None:
    ended = descend(share, steps=1500)
    assert ended.latency == pytest.approx(ended.unconstrained, rel=0.05)
    assert ended.distance < 0.02


def test_the_unit_of_latency_does_not_matter() -> None:
    milliseconds, microseconds = descend(0.6, steps=300), descend(0.6, unit=1000.0, steps=300)
    assert microseconds.trajectory == pytest.approx(milliseconds.trajectory, rel=1e-3)


@given(integral=st.floats(-20, 20), times=st.floats(1e-6, 1e6), updates=st.integers(0, 50))
def test_the_weight_stays_within_its_bounds(integral: float, times: float, updates: int) -> None:
    multiplier = Multiplier(integral=integral, rate=1.0)
    for _ in range(updates):
        multiplier.update(times, 1.0)
    assert LOWEST * 0.999 <= multiplier.weight(times, 1.0) <= HIGHEST * 1.001


def test_the_weight_rises_above_the_budget_and_falls_below_it() -> None:
    multiplier = Multiplier(rate=0.1)
    over, at, under = (multiplier.weight(latency, 10.0) for latency in (11.0, 10.0, 9.0))
    assert over > at > under
    assert at == pytest.approx(math.exp(multiplier.integral))
    multiplier.update(11.0, 10.0)
    assert multiplier.weight(10.0, 10.0) > at
