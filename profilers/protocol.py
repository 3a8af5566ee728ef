"""How long and how often an operation is timed, and when its times may be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar, Literal

from profilers.errors import MillisError

Statistic = Literal["median", "p90", "mean"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """Rounds of bursts in random order, a sentinel model between them; each tells how slow the device was beside it.

    A burst loads the model, warms up for at least `warmup_runs` runs and `warmup_ms`, then times at least `runs` runs
    and `burst_ms`, at most `max_runs`. An operation whose burst medians spread over more than `steady_spread` is noisy
    and gets more rounds, up to `max_rounds`. A burst while the device was slower than undisturbed by more than `drift`
    is void and taken again. Both are fractions. The device rests for `cooldown_s` between rounds. `statistic` is what
    counts as the latency. Raises ValueError for numbers under which nothing could be measured.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    name: str
    rounds: int = 5
    max_rounds: int = 10
    warmup_runs: int = 3
    warmup_ms: float = 5.0
    runs: int = 10
    burst_ms: float = 20.0
    max_runs: int = 1000
    bursts_per_sentinel: int = 8
    steady_spread: float = 0.03
    drift: float = 0.05
    cooldown_s: float = 0.0
    statistic: Statistic = "median"

    def __post_init__(self) -> None:
        for name in ("rounds", "runs", "bursts_per_sentinel"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        for least, most in (("rounds", "max_rounds"), ("runs", "max_runs")):
            if getattr(self, most) < getattr(self, least):
                raise ValueError(f"{most}={getattr(self, most)} is less than {least}={getattr(self, least)}")
        for name in ("warmup_runs", "warmup_ms", "burst_ms", "steady_spread", "drift", "cooldown_s"):
            if not 0 <= getattr(self, name) < inf:
                raise ValueError(f"{name}={getattr(self, name)} must be a number that is not negative")

    def describe(self) -> str:
        if self.name == IMPORTED:
            return f"{self.name}: {self.statistic}, as its source tells it"
        what = "median of burst medians" if self.statistic == "median" else "90th percentile of all runs"
        rest = f", {self.cooldown_s:g} s of rest between rounds" if self.cooldown_s else ""
        return (
            f"{self.name}: {what}, {self.rounds} to {self.max_rounds} bursts{rest}; a burst is {self.warmup_runs} or "
            f"more warm-up runs for {self.warmup_ms:g} ms, then {self.runs} or more timed runs for {self.burst_ms:g} ms"
        )


# The name of the protocol of a table that was measured by others.
IMPORTED = "imported"

# final follows MLPerf Mobile: at least 1,024 runs and a minute of a network, the 90th percentile, rests in between.
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(name="quick", rounds=3, max_rounds=9, warmup_ms=2.0, burst_ms=8.0),
        Protocol(name="standard", rounds=8, max_rounds=20, warmup_ms=8.0, bursts_per_sentinel=4),
        Protocol(
            name="final",
            rounds=5,
            max_rounds=8,
            warmup_runs=10,
            warmup_ms=500.0,
            runs=205,
            burst_ms=12_000.0,
            max_runs=5000,
            bursts_per_sentinel=4,
            cooldown_s=60.0,
            statistic="p90",
        ),
    )
}


def protocol_named(name: str) -> Protocol:
    """The preset of that name; raises MillisError where there is none."""
    if name not in PROTOCOLS:
        raise MillisError(f"no protocol {name!r}; there are: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def protocol_described(words: str) -> Protocol | None:
    """The preset that describes itself so; None where this version has no such one."""
    return next((each for each in PROTOCOLS.values() if each.describe() == words), None)
