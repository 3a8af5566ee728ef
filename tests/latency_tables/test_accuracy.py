from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.accuracy import accuracy, rank_correlation

LATENCIES_MS = st.floats(min_value=1e-3, max_value=1e3)
PAIRS_MS = st.lists(st.tuples(LATENCIES_MS, LATENCIES_MS), min_size=1, max_size=30)


@given(st.lists(LATENCIES_MS, min_size=2, max_size=30, unique=True))
def test_a_perfect_prediction_has_no_error_and_ranks_alike(measured_ms: list[float]) -> None:
    found = accuracy(measured_ms, measured_ms, [(ms, ms) for ms in measured_ms])
    assert (found.mape, found.bias, found.worst) == (0, 0, 0)
    assert (found.within_5pct, found.within_10pct, found.coverage_90) == (1, 1, 1)
    assert found.spearman == pytest.approx(1)


@given(PAIRS_MS, st.sampled_from([0.25, 0.5, 2, 1024]))
def test_another_unit_changes_nothing(pairs_ms: list[tuple[float, float]], factor: float) -> None:
    predicted, measured = zip(*pairs_ms, strict=True)
    intervals = [(0.9 * ms, 1.1 * ms) for ms in predicted]
    scaled = [(factor * low, factor * high) for low, high in intervals]
    other = accuracy([factor * ms for ms in predicted], [factor * ms for ms in measured], scaled)
    assert other == accuracy(predicted, measured, intervals)


@given(PAIRS_MS.flatmap(lambda pairs: st.tuples(st.just(pairs), st.permutations(pairs))))
def test_the_order_of_the_networks_does_not_matter(
    both: tuple[list[tuple[float, float]], list[tuple[float, float]]],
) -> None:
    one, other = (accuracy(*zip(*pairs, strict=True)) for pairs in both)
    assert (one.within_5pct, one.within_10pct, one.worst) == (other.within_5pct, other.within_10pct, other.worst)
    assert [one.mape, one.bias] == pytest.approx([other.mape, other.bias])
    assert one.spearman == pytest.approx(other.spearman)


@given(PAIRS_MS)
def test_shares_are_shares_and_a_wider_band_holds_no_fewer(pairs_ms: list[tuple[float, float]]) -> None:
    found = accuracy(*zip(*pairs_ms, strict=True))
    assert 0 <= found.within_5pct <= found.within_10pct <= 1
    assert abs(found.bias) <= found.mape * (1 + 1e-9) and found.mape <= found.worst * (1 + 1e-9)
    assert found.spearman is None or -1 - 1e-9 <= found.spearman <= 1 + 1e-9


def test_errors_are_relative_to_what_was_measured() -> None:
    found = accuracy([1.04, 1.8, 4.32], [1.0, 2.0, 4.0], [(1.0, 1.1), (1.7, 1.9), (4.0, 4.5)])
    assert found.mape == pytest.approx((0.04 + 0.10 + 0.08) / 3)
    assert found.bias == pytest.approx((0.04 - 0.10 + 0.08) / 3)
    assert found.worst == pytest.approx(0.10)
    assert (found.networks, found.within_5pct, found.coverage_90) == (3, 1 / 3, 2 / 3)


def test_a_plain_sum_has_no_interval_to_be_covered_by() -> None:
    assert accuracy([1.0], [1.0]).coverage_90 is None


@pytest.mark.parametrize("constant", [[1.0, 1.0, 1.0], [1.0]])
def test_what_cannot_be_ranked_has_no_rank_correlation(constant: list[float]) -> None:
    assert rank_correlation(constant, [float(place) for place in range(len(constant))]) is None


def test_reversed_predictions_correlate_with_minus_one() -> None:
    assert rank_correlation([1, 2, 3], [30, 20, 10]) == pytest.approx(-1)


def test_a_prediction_without_its_measurement_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        accuracy([1.0, 2.0], [1.0])
