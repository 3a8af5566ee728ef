"""What was measured: every raw time, kept; statistics, derived."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import Literal

from profilers.environment import Environment

Verdict = Literal["steady", "noisy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """One load of a model, warmed up and timed: milliseconds of each inference, in the order taken."""

    round: int
    times_ms: tuple[float, ...]
    warmup_ms: tuple[float, ...] = ()
    void: bool = False  # the sentinel strayed beside it

    @property
    def median_ms(self) -> float:
        return median(self.times_ms)


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
        return median(burst.median_ms for burst in self.valid)

    @property
    def p90_ms(self) -> float:
        times = [time for burst in self.valid for time in burst.times_ms]
        return quantiles(times, n=10, method="inclusive")[-1] if len(times) > 1 else times[0]

    @property
    def spread(self) -> float:
        """Interquartile range of the burst medians, relative to their median."""
        medians = [burst.median_ms for burst in self.valid]
        if len(medians) < 2:
            return 0.0
        low, _, high = quantiles(medians, n=4, method="inclusive")
        return (high - low) / self.median_ms

    @property
    def samples(self) -> int:
        return sum(len(burst.times_ms) for burst in self.valid)

    @property
    def verdict(self) -> Verdict:
        """Steady when at least two bursts count and they agree within `steady_spread`."""
        counted = [burst for burst in self.bursts if not burst.void]
        return "steady" if len(counted) > 1 and self.spread <= self.steady_spread else "noisy"
