"""What was measured: every raw time, kept; statistics, derived."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf
from statistics import median, quantiles
from typing import Literal

from profilers.environment import Environment

Verdict = Literal["steady", "noisy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What a tool that keeps the time of each inference to itself told of a burst.

    Raises ValueError for numbers that no times can have.
    """

    count: int  # inferences
    mean_ms: float
    min_ms: float
    max_ms: float
    resolution_ms: float  # the tool's clock, or its last digit
    p5_ms: float | None = None
    median_ms: float | None = None
    p95_ms: float | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"{self.count} inferences")
        slack_ms = 1e-5 * self.mean_ms  # the mean is told with six digits
        quantile_points = [self.min_ms, self.p5_ms, self.median_ms, self.p95_ms, self.max_ms]
        ordered = [time for time in quantile_points if time is not None]
        if not all(0 < time < inf for time in (*ordered, self.mean_ms, self.resolution_ms)):
            raise ValueError("a time that is not positive")
        if any(low > high for low, high in pairwise(ordered)):
            raise ValueError("quantiles that are not in order")
        if not self.min_ms - slack_ms <= self.mean_ms <= self.max_ms + slack_ms:
            raise ValueError("a mean outside of least and most")

    @property
    def typical_ms(self) -> float:
        """The median; the mean where there is none, or where rounding to the resolution moves it by over a percent."""
        if self.median_ms is None or self.resolution_ms / 2 > 0.01 * self.median_ms:
            return self.mean_ms
        return self.median_ms

    @property
    def p90_bound_ms(self) -> float:
        """What the 90th percentile is not above."""
        return self.max_ms if self.p95_ms is None else self.p95_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One load of a model, warmed up and timed: milliseconds of each inference, in the order taken.

    Where a tool tells statistics only, they stand in place of the times.
    """

    round: int
    times_ms: tuple[float, ...] = ()
    warmup_ms: tuple[float, ...] = ()
    disturbed: str = ""  # what changed on the device meanwhile: its frequency, its thermal status
    void: bool = False  # disturbed, or the device was slowed down: as told by others, or by bursts of the same model
    level: float = 1.0  # how slow the device was then: 1.02 for 2 % slower than undisturbed
    statistics: Statistics | None = None

    @property
    def median_ms(self) -> float:
        """As it was taken."""
        return median(self.times_ms) if self.statistics is None else self.statistics.typical_ms

    @property
    def undisturbed_ms(self) -> float:
        """The median at the device's undisturbed speed."""
        return self.median_ms / self.level


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Every burst of one compiled model in one environment. Immutable; void bursts are kept but do not count."""

    key: str
    sha256: str
    bursts: tuple[Burst, ...]
    environment: Environment
    steady_spread: float

    @property
    def valid(self) -> tuple[Burst, ...]:
        """The bursts that count; all of them where every one is void, which the verdict then says."""
        return tuple(burst for burst in self.bursts if not burst.void) or self.bursts

    @property
    def median_ms(self) -> float:
        """The median of the burst medians, at the device's undisturbed speed."""
        return median(burst.undisturbed_ms for burst in self.valid)

    @property
    def p90_ms(self) -> float:
        """Over all inferences; of bursts that are known by statistics, the median of what bounds it in each."""
        bounds = [burst.statistics.p90_bound_ms / burst.level for burst in self.valid if burst.statistics is not None]
        if bounds:
            return median(bounds)
        times = [time / burst.level for burst in self.valid for time in burst.times_ms]
        return quantiles(times, n=10, method="inclusive")[-1] if len(times) > 1 else times[0]

    @property
    def spread(self) -> float:
        """Interquartile range of the burst medians, relative to their median."""
        medians = [burst.undisturbed_ms for burst in self.valid]
        if len(medians) < 2:
            return 0.0
        low, _, high = quantiles(medians, n=4, method="inclusive")
        return (high - low) / self.median_ms

    @property
    def samples(self) -> int:
        told = (burst.statistics for burst in self.valid)
        return sum(len(burst.times_ms) for burst in self.valid) + sum(each.count for each in told if each is not None)

    @property
    def verdict(self) -> Verdict:
        """Steady when three bursts count, or both of two, and they agree within `steady_spread`."""
        counted = sum(not burst.void for burst in self.bursts)
        enough = counted >= max(2, min(3, len(self.bursts)))
        return "steady" if enough and self.spread <= self.steady_spread else "noisy"
