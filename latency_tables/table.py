"""The latency table: what each operation costs on one target."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import hypot, inf
from pathlib import Path
from statistics import quantiles
from typing import ClassVar, Literal

from latency_tables.calibration import (
    Calibration,
    MeasuredNetwork,
    Prediction,
    calibrate,
    count_ops,
    quantile,
)
from latency_tables.crowding import Crowding
from latency_tables.errors import MissingOpError
from profilers.environment import Environment
from profilers.measurement import Measurement, Verdict
from profilers.op_spec import OpSpec
from profilers.protocol import IMPORTED, Protocol, Statistic
from profilers.target import Target

# How many standard deviations the quartiles of a normal distribution lie apart.
QUARTILES_APART = 1.349

# measured here; inferred from other devices' tables and a few measurements; imported from someone else's table.
Source = Literal["measured", "inferred", "imported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one operation, compiled alone, takes; ms, of which at least one is known.

    Measured here: median over burst medians, 90th percentile over all runs. `spread` of an inferred one is the relative
    standard deviation of the inference; `samples` is 0 where inferred or not told.
    """

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    median_ms: float | None = None
    mean_ms: float | None = None
    p90_ms: float | None = None
    spread: float
    samples: int
    verdict: Verdict
    source: Source = "measured"

    def __post_init__(self) -> None:
        told = {"median_ms": self.median_ms, "mean_ms": self.mean_ms, "p90_ms": self.p90_ms}
        known = {name: ms for name, ms in told.items() if ms is not None}
        if not known:
            raise ValueError(f"one of {', '.join(told)} must be known")
        for name, ms in known.items():
            if not 0 < ms < inf:
                raise ValueError(f"{name}={ms} must be a latency above zero")
        if not (0 <= self.spread < inf and self.samples >= (self.source == "measured")):
            raise ValueError(f"spread={self.spread} must not be negative, samples={self.samples} at least 1")

    def ms(self, statistic: Statistic) -> float:
        """The latency that counts under a protocol of that statistic; raises ValueError where it is not known."""
        ms = {"median": self.median_ms, "mean": self.mean_ms, "p90": self.p90_ms}[statistic]
        if ms is None:
            raise ValueError(f"its {statistic} is not known")
        return ms

    @staticmethod
    def of(measurement: Measurement) -> Latency:
        return Latency(
            median_ms=measurement.median_ms,
            p90_ms=measurement.p90_ms,
            spread=measurement.spread,
            samples=measurement.samples,
            verdict=measurement.verdict,
        )


@dataclass(frozen=True, kw_only=True)
class LatencyTable:
    """Operation -> latency on one target, and the whole networks that teach what their sum misses.

    `table[op]` is the operation alone, `op_ms(op)` what it adds to a network; both raise MissingOpError for an
    operation that is not there. Free operations cost nothing and need no entry. Raises ValueError where an entry or a
    network does not fit the rest.
    """

    target: Target
    environment: Environment
    protocol: Protocol
    entries: Mapping[OpSpec, Latency]
    networks: tuple[MeasuredNetwork, ...] = ()
    drift: float = 0.0  # how far the device's own speed moved while it was measured: relative standard deviation
    space: str = ""  # the search space whose operations these are, where it was made of one
    path: Path | None = None  # where the table lies, for messages

    def __post_init__(self) -> None:
        if all(op.free for op in self.entries):
            raise ValueError("entries: no operation that takes time stands there")
        if not 0 <= self.drift < inf:
            raise ValueError(f"drift={self.drift} must be a number that is not negative")
        for op in self.entries:
            try:
                self.alone_ms(op)
            except ValueError as error:
                raise ValueError(f"{str(op)!r}: {error}") from None
        for network in self.networks:
            for op in network.ops:
                if op not in self.entries:
                    raise ValueError(f"{network.name}: {str(op)!r} stands in it, but not in the table")

    def __getitem__(self, op: OpSpec) -> Latency:
        if op not in self.entries:
            raise MissingOpError(self._missing(op))
        return self.entries[op]

    @cached_property
    def calibration(self) -> Calibration:
        """What the networks teach about the operations."""
        inferred = {op: each.spread for op, each in self.entries.items() if each.source == "inferred"}
        return calibrate({op: self.alone_ms(op) for op in self.entries if not op.free}, self.networks, inferred)

    def alone_ms(self, op: OpSpec) -> float:
        """What the operation takes compiled alone, ms."""
        return 0.0 if op.free else self[op].ms(self.protocol.statistic)

    def plain_ms(self, ops: Iterable[OpSpec]) -> float:
        """The sum of what operations take alone, ms: the latency of a network before anything corrects it."""
        return sum(map(self.alone_ms, ops))

    def op_ms(self, op: OpSpec) -> float:
        """What the operation adds to a network that is not crowded, ms."""
        if op.free or op not in self.entries:
            return self.alone_ms(op)  # nothing, or the error that names it
        return self.calibration.op_ms(op)

    def network_ms(self, ops: Iterable[OpSpec]) -> float:
        """Predicted latency of a network, ms."""
        return self.crowding.latency_ms(self.sum_ms(ops))

    def sum_ms(self, ops: Iterable[OpSpec]) -> float:
        """What a network costs, were it not crowded, ms: a base and what its operations add."""
        return self.calibration.base_ms + sum(map(self.op_ms, ops))

    @property
    def crowding(self) -> Crowding:
        """What becomes of such sums."""
        return self.calibration.crowding

    def predict(self, ops: Iterable[OpSpec]) -> Prediction:
        """Predicted latency of a network, with the interval of one measurement at another time.

        `calibration.predict` is that of one in the same sweep: without what the device's own speed may do until then.
        """
        predicted = self.calibration.predict([op for op in ops if self.op_ms(op)])
        return replace(predicted, sd_ms=hypot(predicted.sd_ms, self.drift * predicted.sum_ms))

    def tangent(self, ops: Iterable[OpSpec], confidence: float) -> tuple[float, dict[OpSpec, float]]:
        """A base and a cost of each operation, ms, whose sums never exceed those not exceeded at that confidence.

        For a network of these operations the sum is just that: the tangent of a convex function of how often each
        operation stands in a network; crowding makes latencies of such sums. The confidence is at least one half.
        """
        import numpy as np

        known = self.calibration
        counts = count_ops(known.ops, [op for op in ops if self.op_ms(op)])
        own = known.noise**2 + self.drift**2
        spread = known.covariance @ counts + own * float(known.mean_ms @ counts) * known.mean_ms
        cost_ms = known.mean_ms + quantile(confidence) * spread / float(np.sqrt(counts @ spread))
        return float(cost_ms[0]), {op: float(cost_ms[place]) for op, place in known.ops.items()}

    def summary(self) -> str:
        """One line: what was measured, how steady it was, how well it predicts networks."""
        text = f"{self.target}: {len(self.entries)} operations, {len(self.noisy)} noisy"
        if self.inferred:
            text += f", {len(self.inferred)} inferred"
        if not self.networks:
            return f"{text}, not calibrated on whole networks"
        fitted = _mean_error(self.calibration.left_out_ms, self.networks)
        plain = _mean_error([self.plain_ms(network.ops) for network in self.networks], self.networks)
        return (
            f"{text}, {len(self.networks)} networks, each predicted from the others, off by {fitted:.1%} "
            f"(plain sums by {plain:.1%})"
        )

    @property
    def noisy(self) -> tuple[OpSpec, ...]:
        """The operations whose times never settled."""
        return tuple(op for op, latency in self.entries.items() if latency.verdict == "noisy")

    @property
    def inferred(self) -> tuple[OpSpec, ...]:
        """The operations that were not measured, but inferred from other devices' tables."""
        return tuple(op for op, latency in self.entries.items() if latency.source == "inferred")

    def _missing(self, op: OpSpec) -> str:
        where = str(self.path or f"{self.target.slug}.yaml")
        missing = f"{where}: operation {str(op)!r} was not measured on {self.target}"
        if self.protocol.name == IMPORTED:
            return f"{missing}, and only its source could; it stands in no row of it"
        words = ["millis", "profile", "--op", str(op), "--target", str(self.target), "-o", where]
        return f"{missing}; measure it with: {shlex.join([*words, '--protocol', self.protocol.name])}"


def _mean_error(predicted_ms: Sequence[float], networks: Sequence[MeasuredNetwork]) -> float:
    errors = [abs(ms / network.measured_ms - 1) for ms, network in zip(predicted_ms, networks, strict=True)]
    return sum(errors) / len(errors)


def build_table(
    target: Target,
    protocol: Protocol,
    measurements: Mapping[OpSpec, Measurement],
    networks: Sequence[tuple[str, Sequence[OpSpec], Measurement]] = (),
    *,
    space: str = "",
    base: LatencyTable | None = None,
    path: Path | None = None,
) -> LatencyTable:
    """A table from measurements of operations and whole networks; raises EnvironmentMismatchError if they disagree.

    `networks` are (name, operations, measurement). At least one operation must have been measured, and each one that
    stands in a network. `base` is an earlier table to add to.
    """
    environment = base.environment if base is not None else next(iter(measurements.values())).environment
    for op, measurement in measurements.items():
        measurement.environment.require_same(environment, what=f"operation {op}")
    for name, _, measurement in networks:
        measurement.environment.require_same(environment, what=f"network {name}")
    taken = [measurement for _, _, measurement in networks]
    whole = {network.name: network for network in (base.networks if base is not None else ())}
    whole |= {name: _measured(name, ops, measurement, protocol) for name, ops, measurement in networks}
    return LatencyTable(
        target=target,
        environment=environment,
        protocol=protocol,
        entries=(dict(base.entries) if base is not None else {})
        | {op: Latency.of(measurement) for op, measurement in measurements.items()},
        networks=tuple(whole.values()),
        drift=max(base.drift if base is not None else 0.0, _drift([*measurements.values(), *taken])),
        space=space or (base.space if base is not None else ""),
        path=path,
    )


def _drift(measurements: Sequence[Measurement]) -> float:
    """Of the device's level over all bursts that count, robustly: from their quartiles."""
    levels = [burst.level for measurement in measurements for burst in measurement.valid]
    if len(levels) < 2:
        return 0.0
    low, _, high = quantiles(levels, n=4, method="inclusive")
    return (high - low) / QUARTILES_APART


def _measured(name: str, ops: Sequence[OpSpec], measurement: Measurement, protocol: Protocol) -> MeasuredNetwork:
    return MeasuredNetwork(
        name=name,
        ops=tuple(op for op in ops if not op.free),
        measured_ms=Latency.of(measurement).ms(protocol.statistic),
        spread=measurement.spread,
    )
