from __future__ import annotations

import random
from collections.abc import Callable
from math import sin
from statistics import median, quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.drift import levels

USUAL_MS = {"anchor": 1.0} | {f"model {i}": 0.05 * 1.5**i for i in range(11)}
TIMES_MS = st.floats(1e-3, 1e3)
SWEEPS = st.lists(st.tuples(TIMES_MS, st.sampled_from("abcd"), st.integers(0, 2), st.booleans()), max_size=40).map(
    lambda bursts: sorted(bursts, key=lambda burst: burst[2])
)


def in_rounds(rounds: int, seed: int = 0) -> list[str]:
    """Models in another order in each round, as a sweep takes them."""
    rng = random.Random(seed)
    return [model for _ in range(rounds) for model in rng.sample(sorted(USUAL_MS), len(USUAL_MS))]


def levels_of(
    models: list[str], speed: Callable[[float], float], *, noise: float = 0.0, sessions: list[int] | None = None
) -> tuple[list[float], list[float]]:
    """Times that models take on a device that slows down by `speed` on its way from 0 to 1, and the levels found."""
    rng = random.Random(1)
    times = [USUAL_MS[m] * speed(i / len(models)) * rng.gauss(1, noise) for i, m in enumerate(models)]
    return times, levels(times, models, sessions or [0] * len(models), [m == "anchor" for m in models])


def off(models: list[str], times: list[float], found: list[float]) -> float:
    """By how much the worst model's usual time, relative to all the others', is missed."""
    ratios = [
        median(time / level for time, level, each in zip(times, found, models, strict=True) if each == model) / usual_ms
        for model, usual_ms in USUAL_MS.items()
    ]
    return max(abs(ratio / median(ratios) - 1) for ratio in ratios)


@pytest.mark.parametrize(
    "speed",
    [
        lambda t: 1 + 0.1 * sin(12 * t),
        lambda t: 1 + 0.2 * t,
        lambda t: 1.0 if t < 0.6 else 1.25,
        lambda t: 1.15 if 0.3 < t < 0.5 else 1.0,
    ],
    ids=["wave", "slope", "step", "bump"],
)
def test_a_planted_speed_is_found_and_divided_out(speed: Callable[[float], float]) -> None:
    models = in_rounds(6)
    times, found = levels_of(models, speed, noise=0.005)
    fast = quantiles((speed(i / len(models)) for i in range(len(models))), n=10, method="inclusive")[0]
    near = [abs(level * fast / speed(i / len(models)) - 1) < 0.03 for i, level in enumerate(found)]
    assert sum(near) >= 0.9 * len(near)  # all but the bursts beside a step
    assert off(models, times, found) < 0.015


def test_a_steady_device_has_the_same_level_throughout_whatever_its_models_scatter() -> None:
    models = in_rounds(8)
    _, found = levels_of(models, lambda _: 1.0, noise=0.01)
    assert max(found) / min(found) < 1.04


@given(st.text("ab", min_size=1, max_size=12), st.floats(0.1, 10), st.data())
def test_a_burst_has_no_say_in_its_own_level(resumed: str, odd_ms: float, data: st.DataObject) -> None:
    models = [*"ab" * 10, *resumed]  # a sweep of 20 bursts that all took 1 ms, resumed for some more
    place = data.draw(st.integers(20, len(models) - 1))
    times = [odd_ms if i == place else 1.0 for i in range(len(models))]
    sessions = [int(i >= 20) for i in range(len(models))]
    assert levels(times, models, sessions, [False] * len(times))[place] == 1.0


@pytest.mark.parametrize("anchors", [True, False])
def test_sessions_are_linked_by_their_anchors(anchors: bool) -> None:
    halves = [["anchor", *(f"model {i}" for i in part), "anchor"] * 3 for part in (range(5), range(5, 11))]
    models = halves[0] + halves[1]  # no model but the anchor is timed in both sessions
    sessions = [0] * len(halves[0]) + [1] * len(halves[1])
    times = [USUAL_MS[model] * (1.2 if session else 1.0) for model, session in zip(models, sessions, strict=True)]
    found = levels(times, models, sessions, [anchors and model == "anchor" for model in models])
    assert (found[-1] / found[0] == pytest.approx(1.2)) or not anchors
    assert (off(models, times, found) < 1e-9) is anchors


@given(TIMES_MS, st.booleans())
def test_a_single_burst_is_taken_as_it_is(ms: float, anchor: bool) -> None:
    assert levels([ms], ["a"], [0], [anchor]) == [1.0]


def test_no_bursts_have_no_levels() -> None:
    assert levels([], [], [], []) == []


@given(SWEEPS, st.dictionaries(st.sampled_from("abcd"), TIMES_MS, min_size=4))
def test_constant_times_are_all_of_the_undisturbed_device(
    bursts: list[tuple[float, str, int, bool]], usual_ms: dict[str, float]
) -> None:
    models = [model for _, model, _, _ in bursts]
    found = levels([usual_ms[m] for m in models], models, [each[2] for each in bursts], [each[3] for each in bursts])
    assert found == [1.0] * len(bursts)


@given(SWEEPS, st.integers(-20, 20))
def test_another_unit_of_time_changes_no_level(bursts: list[tuple[float, str, int, bool]], power: int) -> None:
    times, *rest = (list(column) for column in zip(*bursts, strict=True)) if bursts else ([], [], [], [])
    assert levels([2.0**power * time for time in times], *rest) == levels(times, *rest)


@given(SWEEPS)
def test_a_level_is_a_factor_and_few_are_below_that_of_the_undisturbed_device(
    bursts: list[tuple[float, str, int, bool]],
) -> None:
    found = levels(*(list(column) for column in zip(*bursts, strict=True))) if bursts else [1.0]
    assert min(found) > 0
    assert sum(level < 1 - 1e-9 for level in found) <= 0.1 * len(found) + 1
