"""How well predicted latencies agree with measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Errors are predicted over measured less one; all of these are fractions, not percentages."""

    networks: int
    mape: float  # mean absolute error
    bias: float  # mean error: above zero where predictions are too slow
    worst: float  # largest absolute error
    within_5pct: float
    within_10pct: float
    spearman: float | None  # None where there are no two latencies to rank
    coverage_90: float | None  # the share of networks within their 90 % interval; None for predictions without one


def accuracy(
    predicted_ms: Sequence[float],
    measured_ms: Sequence[float],
    intervals_ms: Sequence[tuple[float, float]] | None = None,
) -> Accuracy:
    """Each prediction, and its 90 % interval where there is one, beside what was measured; at least one network."""
    errors = [predicted / measured - 1 for predicted, measured in zip(predicted_ms, measured_ms, strict=True)]
    sizes = [abs(error) for error in errors]
    return Accuracy(
        networks=len(errors),
        mape=sum(sizes) / len(sizes),
        bias=sum(errors) / len(errors),
        worst=max(sizes),
        within_5pct=_share([size <= 0.05 for size in sizes]),
        within_10pct=_share([size <= 0.10 for size in sizes]),
        spearman=rank_correlation(predicted_ms, measured_ms),
        coverage_90=None if intervals_ms is None else _covered(measured_ms, intervals_ms),
    )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's; None where one of both has no two different values."""
    if len(set(first)) < 2 or len(set(second)) < 2:
        return None
    from scipy.stats import spearmanr

    return float(spearmanr(first, second).statistic)


def _covered(measured_ms: Sequence[float], intervals_ms: Sequence[tuple[float, float]]) -> float:
    return _share([low <= ms <= high for ms, (low, high) in zip(measured_ms, intervals_ms, strict=True)])


def _share(fulfilled: Sequence[bool]) -> float:
    return sum(fulfilled) / len(fulfilled)
