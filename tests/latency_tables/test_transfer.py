"""A world of invented devices in which the truth is known: how well it is found from ten measurements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import float64
from numpy.random import Generator
from numpy.typing import NDArray

from latency_tables.additive import additive_costs
from latency_tables.kinship import SPEED, Items, expect
from latency_tables.transfer import Inference, _Posterior, choose, explore, infer

COUNT = 24  # operations
NOISE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """Devices whose costs are sums of what operations amount to, each operation a little different from that."""

    items: Items
    rng: Generator

    @staticmethod
    def of(seed: int) -> World:
        rng = np.random.default_rng(seed)
        amounts = np.exp(rng.normal(size=(COUNT, 3)) * (0.01, 1.0, 0.7))
        features = np.log(amounts[:, 1:])
        features = (features - features.mean(axis=0)) / features.std(axis=0)
        return World(items=Items(amounts=amounts, features=features, usual=np.full(COUNT, 0.5)), rng=rng)

    def device_ms(self) -> NDArray[float64]:
        """Costs, [D]."""
        paid = self.rng.dirichlet(np.ones(3)) * np.exp(3 * self.rng.normal())
        lot = np.exp(0.1 * self.rng.normal(size=COUNT))
        return np.asarray(self.items.amounts / self.items.amounts.mean(axis=0) @ paid * lot)

    def networks(self, count: int) -> NDArray[float64]:
        """Counts of operations, [count, D]."""
        return self.rng.binomial(2, 0.25, size=(count, COUNT)) + np.eye(COUNT)[self.rng.integers(0, COUNT, count)]

    def known_ms(self, count: int = 6) -> NDArray[float64]:
        return np.stack([self.device_ms() for _ in range(count)], axis=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What ten measurements, chosen and random, told of 200 other networks: errors, and what was within 90 %."""

    chosen: NDArray[float64]
    random: NDArray[float64]
    within: NDArray[np.bool_]


@cache
def told(seed: int) -> Told:
    world = World.of(seed)
    prior = expect(world.known_ms(), [*"abcdef"], world.items)
    truth_ms, candidates, asked = world.device_ms(), world.networks(150), world.networks(200)
    measured_ms = candidates @ truth_ms * np.exp(NOISE * world.rng.normal(size=len(candidates)))
    found = explore(prior, candidates, asked, lambda batch: {each: measured_ms[each] for each in batch}, 10)
    inference = infer(prior, candidates[list(found)], np.array([*found.values()]))
    by_chance = infer(prior, candidates[:10], measured_ms[:10])
    off = _off(inference, asked, truth_ms)
    within = np.abs(off) <= 1.645 * inference.sums(asked)[1]
    return Told(chosen=np.abs(off), random=np.abs(_off(by_chance, asked, truth_ms)), within=within)


def _off(inference: Inference, rows: NDArray[float64], truth_ms: NDArray[float64]) -> NDArray[float64]:
    return np.asarray(np.log(inference.sums(rows)[0] / (rows @ truth_ms)))


def mean_of(what: Callable[[Told], NDArray[float64] | NDArray[np.bool_]]) -> float:
    return float(np.mean([what(told(seed)) for seed in range(24)]))


def test_ten_measurements_tell_networks_to_a_few_percent() -> None:
    assert mean_of(lambda each: each.chosen) < 0.03


def test_intervals_hold_what_they_promise() -> None:
    assert 0.85 <= mean_of(lambda each: each.within) <= 0.99


def test_chosen_measurements_tell_more_than_random_ones() -> None:
    assert mean_of(lambda each: each.chosen) < 0.95 * mean_of(lambda each: each.random)


@settings(max_examples=15)
@given(seed=st.integers(0, 50), factor=st.floats(1e-6, 1e6), count=st.integers(1, 5))
def test_the_unit_of_time_says_nothing(seed: int, factor: float, count: int) -> None:
    world = World.of(seed)
    known_ms, rows = world.known_ms(3), world.networks(count)
    measured_ms = rows @ world.device_ms()
    prior, scaled = (expect(known_ms * each, [*"abc"], world.items) for each in (1.0, np.array([1.0, 10.0, factor])))
    one, other = infer(prior, rows, measured_ms), infer(scaled, rows, factor * measured_ms)
    assert other.costs_ms == pytest.approx(factor * one.costs_ms, rel=1e-4)
    assert other.covariance == pytest.approx(one.covariance, rel=1e-4, abs=1e-7)


@given(seed=st.integers(0, 50), count=st.integers(1, 8), unlikeness=st.floats(0.3, 4), noise=st.floats(0.005, 0.2))
def test_another_measurement_never_widens_an_interval(seed: int, count: int, unlikeness: float, noise: float) -> None:
    world = World.of(seed)
    prior = expect(world.known_ms(2), ["a", "b"], world.items)
    rows = world.networks(count + 1)
    logs, covariance = np.log(rows @ world.device_ms()), prior.covariance(unlikeness) + SPEED
    start = _Posterior(mean=prior.mean, covariance=covariance, trust=np.ones(count + 1), log_evidence=0.0)
    more = start.nearer(prior.mean, covariance, rows, logs, noise)
    fewer = replace(start, trust=np.ones(count)).nearer(prior.mean, covariance, rows[:-1], logs[:-1], noise)
    targets = rows / rows.sum(axis=1, keepdims=True)
    widths = [np.einsum("td,de,te->t", targets, each.covariance, targets) for each in (more, fewer)]
    assert (widths[0] <= widths[1] * (1 + 1e-6) + 1e-9).all()


@settings(max_examples=15)
@given(seed=st.integers(0, 50))
def test_what_was_measured_is_predicted_as_measured(seed: int) -> None:
    world = World.of(seed)
    rows = np.vstack([np.eye(COUNT)[:3], world.networks(4)])
    measured_ms = rows @ world.device_ms()
    predicted_ms, spread = infer(expect(world.known_ms(), [*"abcdef"], world.items), rows, measured_ms).sums(rows)
    assert predicted_ms == pytest.approx(measured_ms, rel=0.1)
    assert (spread < 0.1).all()


def test_one_wild_measurement_spoils_little() -> None:
    world = World.of(3)
    prior, rows = expect(world.known_ms(), [*"abcdef"], world.items), world.networks(10)
    truth_ms = world.device_ms()
    wild = np.where(np.arange(10) == 4, 2.5, 1.0)
    calm = [np.abs(_off(infer(prior, rows, rows @ truth_ms * factor), rows, truth_ms)).mean() for factor in (1.0, wild)]
    assert calm[1] < calm[0] + 0.04


def test_devices_of_one_family_count_as_one() -> None:
    world = World.of(0)
    known_ms = world.known_ms(2)
    once = expect(known_ms, ["a", "b"], world.items)
    thrice = expect(known_ms[:, [0, 0, 0, 1]], ["a", "a", "a", "b"], world.items)
    assert thrice.mean == pytest.approx(once.mean)
    assert thrice.covariance() == pytest.approx(once.covariance())


def test_a_device_that_is_known_already_is_recognised() -> None:
    world = World.of(1)
    known_ms, rows = world.known_ms(), world.networks(6)
    inference = infer(expect(known_ms, [*"abcdef"], world.items), rows, 5 * rows @ known_ms[:, 2])
    assert inference.costs_ms == pytest.approx(5 * known_ms[:, 2], rel=0.2)


def test_an_item_that_is_like_nothing_else_shares_nothing_with_others() -> None:
    world = World.of(0)
    features = world.items.features.copy()
    features[-1] = np.nan
    prior = expect(world.known_ms(1), ["a"], replace(world.items, features=features))
    alike = prior.covariance(2.0) - prior.covariance(1.0)
    assert (alike[-1, :-1] == 0).all() and alike[-1, -1] > 0 and np.isfinite(prior.covariance()).all()


def test_candidates_are_chosen_once_each_and_no_more_than_there_are() -> None:
    world = World.of(0)
    prior, rows = expect(world.known_ms(1), ["a"], world.items), world.networks(5)
    assert sorted(choose(prior, rows, rows, 9)) == [0, 1, 2, 3, 4]
    assert choose(prior, rows, rows, 3) == choose(prior, rows, rows, 9)[:3]
    assert choose(prior, rows, rows, 0) == []


def test_measurements_of_before_count_and_are_not_taken_again() -> None:
    world = World.of(0)
    prior, rows, truth_ms = expect(world.known_ms(1), ["a"], world.items), world.networks(30), world.device_ms()
    batches: list[list[int]] = []

    def measure(batch: object) -> dict[int, float]:
        batches.append([*batch])  # type: ignore[misc]
        return {each: float(rows[each] @ truth_ms) for each in batches[-1]}

    before = {7: float(rows[7] @ truth_ms), 9: float(rows[9] @ truth_ms)}
    found = explore(prior, rows, rows, measure, 10, before)
    assert [len(batch) for batch in batches] == [4, 2, 1, 1]
    assert len(found) == 10 and set(found) == {7, 9}.union(*batches)
    assert explore(prior, rows, rows, measure, 10, found) == found and len(batches) == 4


def test_costs_are_found_from_networks_in_spite_of_outliers() -> None:
    world = World.of(5)
    truth_ms, counts = world.device_ms(), world.networks(600)
    wild = np.where(world.rng.random(600) < 0.05, 3.0, 1.0)
    measured_ms = counts @ truth_ms * wild * np.exp(0.01 * world.rng.normal(size=600))
    assert additive_costs(counts, measured_ms) == pytest.approx(truth_ms, rel=0.1, abs=0.02 * truth_ms.mean())
