from __future__ import annotations

import random
from collections.abc import Sequence
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import Calibration, MeasuredNetwork, calibrate, describe_errors

ISOLATED_MS = st.lists(st.floats(0.01, 1.0), min_size=4, max_size=30)
PLANTED = st.builds(
    lambda isolated_ms, base_ms, scale, overhead: (
        isolated_ms,
        Calibration(base_ms=base_ms, scale=scale, per_op_ms=-overhead * scale * min(isolated_ms)),
    ),
    ISOLATED_MS,
    st.floats(0, 0.3),
    st.floats(0.5, 1.5),
    st.floats(-1, 0.9),  # negative: more overhead in a network than alone
)


def drawn(isolated_ms: Sequence[float], truth: Calibration, rng: random.Random, count: int) -> list[MeasuredNetwork]:
    """Networks of 2 to 40 operations, as the planted calibration has them run."""
    networks = []
    for i in range(count):
        ops = [rng.choice(isolated_ms) for _ in range(rng.randint(2, 40))]
        measured_ms = truth.base_ms + sum(map(truth.op_ms, ops))
        networks.append(
            MeasuredNetwork(name=f"{i}", ops=len(ops), sum_ms=sum(ops), measured_ms=measured_ms, spread=0.01)
        )
    return networks


@given(PLANTED, st.randoms(use_true_random=False))
def test_the_planted_calibration_is_found(planted: tuple[list[float], Calibration], rng: random.Random) -> None:
    isolated_ms, truth = planted
    found = calibrate(isolated_ms, drawn(isolated_ms, truth, rng, 16))
    for network in drawn(isolated_ms, truth, rng, 16):
        assert found.network_ms(network) == pytest.approx(network.measured_ms, rel=0.02)


def test_the_planted_numbers_are_found_one_by_one() -> None:
    rng = random.Random(0)
    isolated_ms = [0.02 * 1.2**i for i in range(20)]
    truth = Calibration(base_ms=0.1, scale=0.9, per_op_ms=-0.01)
    found = calibrate(isolated_ms, drawn(isolated_ms, truth, rng, 16))
    assert found.base_ms == pytest.approx(0.1, rel=0.01)
    assert found.scale == pytest.approx(0.9, rel=0.01)
    assert found.per_op_ms == pytest.approx(-0.01, rel=0.01)


@given(
    ISOLATED_MS,
    st.lists(st.tuples(st.integers(1, 50), st.floats(0.01, 50), st.floats(0.001, 100)), min_size=1, max_size=12),
)
def test_whatever_networks_say_every_operation_keeps_a_cost(
    isolated_ms: list[float], told: list[tuple[int, float, float]]
) -> None:
    networks = [MeasuredNetwork(name="n", ops=n, sum_ms=s, measured_ms=m, spread=0) for n, s, m in told]
    found = calibrate(isolated_ms, networks)
    assert all(found.op_ms(each_ms) > 0 for each_ms in isolated_ms)
    assert found.base_ms >= 0
    assert found.networks == tuple(networks)


@given(ISOLATED_MS)
def test_without_networks_the_sum_is_plain(isolated_ms: list[float]) -> None:
    found = calibrate(isolated_ms, [])
    assert found == Calibration()
    assert [found.op_ms(each_ms) for each_ms in isolated_ms] == isolated_ms


@given(ISOLATED_MS, st.randoms(use_true_random=False), st.integers(1, 16))
def test_networks_that_cost_the_plain_sum_change_nothing(
    isolated_ms: list[float], rng: random.Random, count: int
) -> None:
    found = calibrate(isolated_ms, drawn(isolated_ms, Calibration(), rng, count))
    assert (found.base_ms, found.scale, found.per_op_ms) == pytest.approx((0, 1, 0), abs=1e-6)


def test_one_network_teaches_what_an_operation_repeats_alone() -> None:
    found = calibrate([0.1, 0.2], [MeasuredNetwork(name="n", ops=10, sum_ms=1.5, measured_ms=1.0, spread=0)])
    assert found.scale == pytest.approx(1, abs=0.01)
    assert found.per_op_ms == pytest.approx(-0.05, abs=0.001)


def test_the_order_of_networks_says_nothing() -> None:
    isolated_ms = [0.1, 0.3, 0.5]
    networks = drawn(isolated_ms, Calibration(base_ms=0.2, scale=1.1), random.Random(1), 5)
    one, other = calibrate(isolated_ms, networks), calibrate(isolated_ms, networks[::-1])
    assert one.network_ms(networks[0]) == pytest.approx(other.network_ms(networks[0]))


def test_a_network_is_no_witness_of_its_own_prediction() -> None:
    isolated_ms = [0.1, 0.3, 0.5]
    networks = drawn(isolated_ms, Calibration(base_ms=0.2, scale=1.1), random.Random(1), 8)
    assert describe_errors(isolated_ms, networks).startswith("8 networks, each predicted from the others, off by 0.0% ")
    assert describe_errors(isolated_ms, networks[:1]).endswith("off by 14.6% (plain sums by 14.6%)")


@pytest.mark.parametrize("wrong", [{"base_ms": -0.1}, {"scale": nan}, {"scale": -1.0}, {"per_op_ms": inf}])
def test_numbers_that_are_none_calibrate_nothing(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="base_ms and scale must be"):
        Calibration(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", [{"sum_ms": 0.0}, {"measured_ms": -1.0}, {"measured_ms": nan}])
def test_a_network_that_took_no_time_is_no_evidence(wrong: dict[str, float]) -> None:
    numbers = {"sum_ms": 1.0, "measured_ms": 1.0} | wrong
    with pytest.raises(ValueError, match="must be latencies above zero"):
        MeasuredNetwork(name="n", ops=1, spread=0.0, **numbers)
