from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.environment import Environment
from profilers.measurement import Burst, Measurement, Statistics

TIMES_MS = st.floats(1e-3, 1e3)
BURSTS = st.builds(
    Burst,
    round=st.integers(0, 9),
    times_ms=st.lists(TIMES_MS, min_size=1, max_size=9).map(tuple),
    warmup_ms=st.lists(TIMES_MS, max_size=3).map(tuple),
    void=st.booleans(),
    level=st.floats(0.5, 2),
)
MANY_BURSTS = st.lists(BURSTS, min_size=1, max_size=12).map(tuple)


def measurement(bursts: tuple[Burst, ...], steady_spread: float = 0.03) -> Measurement:
    facts = Environment({"cpu": "imaginary"})
    return Measurement(key="op", sha256="0", bursts=bursts, environment=facts, steady_spread=steady_spread)


def slowed(burst: Burst, factor: float) -> Burst:
    return replace(burst, times_ms=tuple(factor * ms for ms in burst.times_ms), level=factor * burst.level)


def of_medians(*medians_ms: float) -> Measurement:
    return measurement(tuple(Burst(round=i, times_ms=(ms,)) for i, ms in enumerate(medians_ms)))


@given(MANY_BURSTS)
def test_the_median_is_that_of_burst_medians_at_the_usual_speed(bursts: tuple[Burst, ...]) -> None:
    counted = [burst for burst in bursts if not burst.void] or bursts
    assert measurement(bursts).median_ms == median(median(burst.times_ms) / burst.level for burst in counted)


@given(MANY_BURSTS, st.integers(-3, 3), st.data())
def test_how_slow_the_device_was_is_divided_out_of_every_statistic(
    bursts: tuple[Burst, ...], power: int, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(bursts) - 1))
    slower = tuple(slowed(burst, 2.0**power) if i == place else burst for i, burst in enumerate(bursts))
    one, other = measurement(bursts), measurement(slower)
    assert (one.median_ms, one.p90_ms, one.spread) == (other.median_ms, other.p90_ms, other.spread)


def test_a_burst_tells_both_what_was_timed_and_what_it_usually_is() -> None:
    burst = Burst(round=0, times_ms=(2.0, 4.0, 6.0), level=2.0)
    assert (burst.median_ms, burst.undisturbed_ms) == (4.0, 2.0)


def test_what_a_tool_told_of_a_burst_is_brought_to_the_usual_speed_too() -> None:
    told = Statistics(count=9, mean_ms=4.0, min_ms=2.0, max_ms=8.0, resolution_ms=1e-3, median_ms=4.0, p95_ms=6.0)
    found = measurement((Burst(round=0, statistics=told, level=2.0), Burst(round=1, statistics=told, level=2.0)))
    assert (found.median_ms, found.p90_ms, found.spread, found.samples) == (2.0, 3.0, 0.0, 18)


@given(MANY_BURSTS)
def test_the_order_of_bursts_says_nothing(bursts: tuple[Burst, ...]) -> None:
    one, other = measurement(bursts), measurement(bursts[::-1])
    assert (one.median_ms, one.p90_ms, one.spread, one.samples) == (
        other.median_ms,
        other.p90_ms,
        other.spread,
        other.samples,
    )


@given(MANY_BURSTS, BURSTS)
def test_a_void_burst_is_kept_but_does_not_count(bursts: tuple[Burst, ...], void: Burst) -> None:
    counted = (replace(bursts[0], void=False), *bursts)
    one, other = measurement(counted), measurement((*counted, replace(void, void=True)))
    assert len(other.bursts) == len(counted) + 1
    assert (one.median_ms, one.p90_ms, one.samples) == (other.median_ms, other.p90_ms, other.samples)


@given(MANY_BURSTS)
def test_statistics_lie_within_what_was_timed(bursts: tuple[Burst, ...]) -> None:
    found = measurement(bursts)
    times_ms = [time / burst.level for burst in found.valid for time in burst.times_ms]
    slack = 1e-9 * max(times_ms)
    assert min(times_ms) - slack <= found.median_ms <= max(times_ms) + slack
    assert min(times_ms) - slack <= found.p90_ms <= max(times_ms) + slack
    assert sum(time <= found.p90_ms + slack for time in times_ms) >= 0.9 * (len(times_ms) - 1)
    assert found.samples == len(times_ms)


@given(MANY_BURSTS, st.floats(0.1, 10))
def test_the_spread_is_relative(bursts: tuple[Burst, ...], factor: float) -> None:
    scaled = tuple(replace(burst, times_ms=tuple(factor * time for time in burst.times_ms)) for burst in bursts)
    assert measurement(scaled).spread == pytest.approx(measurement(bursts).spread, rel=1e-6, abs=1e-9)


@given(MANY_BURSTS, st.floats(0, 1))
def test_steady_is_what_three_bursts_or_both_of_two_agree_on(bursts: tuple[Burst, ...], steady_spread: float) -> None:
    found = measurement(bursts, steady_spread)
    enough = sum(not burst.void for burst in bursts) >= (2 if len(bursts) < 3 else 3)
    agreed = enough and found.spread <= steady_spread
    assert found.verdict == ("steady" if agreed else "noisy")


def test_the_spread_is_the_interquartile_range_over_the_median() -> None:
    assert of_medians(1.0, 2.0, 3.0, 4.0, 5.0).spread == pytest.approx(2 / 3)
    assert of_medians(7.0).spread == 0


def test_the_90th_percentile_is_over_all_runs() -> None:
    bursts = tuple(Burst(round=i, times_ms=tuple(float(i * 10 + j) for j in range(1, 11))) for i in range(10))
    assert measurement(bursts).p90_ms == pytest.approx(90.1)


def test_bursts_that_are_all_void_are_shown_and_called_noisy() -> None:
    bursts = tuple(Burst(round=i, times_ms=(2.0,), void=True) for i in range(5))
    assert measurement(bursts).median_ms == 2.0
    assert measurement(bursts).verdict == "noisy"


def test_warm_ups_are_kept_but_count_for_nothing() -> None:
    found = measurement((Burst(round=0, times_ms=(1.0,), warmup_ms=(9.0,)),))
    assert (found.median_ms, found.p90_ms, found.samples) == (1.0, 1.0, 1)
    assert found.bursts[0].warmup_ms == (9.0,)
