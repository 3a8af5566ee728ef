"""The latency table: what each operation costs on one target."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import ClassVar

from latency_tables.calibration import Calibration, MeasuredNetwork, calibrate, describe_errors
from latency_tables.errors import MissingOpError
from profilers.environment import Environment
from profilers.measurement import Measurement, Verdict
from profilers.op_spec import OpSpec
from profilers.protocol import Protocol, Statistic
from profilers.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one operation, compiled alone, took: median over burst medians, 90th percentile over all runs."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    median_ms: float
    p90_ms: float
    spread: float
    samples: int
    verdict: Verdict

    def __post_init__(self) -> None:
        if not (0 < self.median_ms < inf and 0 < self.p90_ms < inf):
            raise ValueError(f"median_ms={self.median_ms} and p90_ms={self.p90_ms} must be latencies above zero")
        if not (0 <= self.spread < inf and self.samples >= 1):
            raise ValueError(f"spread={self.spread} must not be negative, samples={self.samples} at least 1")

    def ms(self, statistic: Statistic) -> float:
        """The latency that counts under a protocol of that statistic."""
        return self.median_ms if statistic == "median" else self.p90_ms

    @staticmethod
    def of(measurement: Measurement) -> Latency:
        return Latency(
            median_ms=measurement.median_ms,
            p90_ms=measurement.p90_ms,
            spread=measurement.spread,
            samples=measurement.samples,
            verdict=measurement.verdict,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """Operation -> latency on one target, and what whole networks taught about their sum.

    `table[op]` is the operation alone, `op_ms(op)` its share of a network; both raise MissingOpError for an operation
    that was not measured. Free operations cost nothing and need no entry. Raises ValueError where the calibration
    leaves an operation no cost above zero.
    """

    target: Target
    environment: Environment
    protocol: Protocol
    entries: Mapping[OpSpec, Latency]
    calibration: Calibration = field(default_factory=Calibration)
    path: Path | None = None  # where the table lies, for messages

    def __post_init__(self) -> None:
        for op in self.entries:
            if not op.free and self.op_ms(op) <= 0:
                raise ValueError(f"calibration: with it {str(op)!r} would cost {self.op_ms(op):.3g} ms")

    def __getitem__(self, op: OpSpec) -> Latency:
        if op not in self.entries:
            where = str(self.path or f"{self.target.slug}.yaml")
            words = ["millis", "profile", "--op", str(op), "--target", str(self.target), "-o", where]
            command = shlex.join([*words, "--protocol", self.protocol.name])
            raise MissingOpError(
                f"{where}: operation {str(op)!r} was not measured on {self.target}; measure it with: {command}"
            )
        return self.entries[op]

    def op_ms(self, op: OpSpec) -> float:
        """What the operation adds to a network, ms."""
        return 0.0 if op.free else self.calibration.op_ms(self[op].ms(self.protocol.statistic))

    def network_ms(self, ops: Iterable[OpSpec]) -> float:
        """Predicted latency of a network, ms."""
        return self.calibration.base_ms + sum(self.op_ms(op) for op in ops)

    def summary(self) -> str:
        """One line: what was measured, how steady it was, how well calibrated sums predict networks."""
        text = f"{self.target}: {len(self.entries)} operations, {len(self.noisy)} noisy"
        if not self.calibration.networks:
            return f"{text}, not calibrated on whole networks"
        return f"{text}, {describe_errors(self.isolated_ms, self.calibration.networks)}"

    @property
    def isolated_ms(self) -> list[float]:
        """What each measured operation costs alone, ms."""
        return [latency.ms(self.protocol.statistic) for latency in self.entries.values()]

    @property
    def noisy(self) -> tuple[OpSpec, ...]:
        """The operations whose times never settled."""
        return tuple(op for op, latency in self.entries.items() if latency.verdict == "noisy")


def build_table(
    target: Target,
    protocol: Protocol,
    measurements: Mapping[OpSpec, Measurement],
    networks: Sequence[tuple[str, Sequence[OpSpec], Measurement]] = (),
    *,
    base: LatencyTable | None = None,
    path: Path | None = None,
) -> LatencyTable:
    """A table from measurements of operations and whole networks; raises EnvironmentMismatchError if they disagree.

    `networks` are (name, operations, measurement). At least one operation must have been measured, and each one that
    stands in a network; MissingOpError names one that was not. `base` is an earlier table to add to.
    """
    environment = base.environment if base is not None else next(iter(measurements.values())).environment
    for op, measurement in measurements.items():
        measurement.environment.require_same(environment, what=f"operation {op}")
    for name, _, measurement in networks:
        measurement.environment.require_same(environment, what=f"network {name}")
    alone = LatencyTable(
        target=target,
        environment=environment,
        protocol=protocol,
        entries=(dict(base.entries) if base is not None else {})
        | {op: Latency.of(measurement) for op, measurement in measurements.items()},
        path=path,
    )
    whole = [*(base.calibration.networks if base is not None else ()), *(_beside(alone, *net) for net in networks)]
    return replace(alone, calibration=calibrate(alone.isolated_ms, whole))


def _beside(alone: LatencyTable, name: str, ops: Sequence[OpSpec], measurement: Measurement) -> MeasuredNetwork:
    """A network's time beside the plain sum of its operations."""
    return MeasuredNetwork(
        name=name,
        ops=sum(not op.free for op in ops),
        sum_ms=alone.network_ms(ops),
        measured_ms=Latency.of(measurement).ms(alone.protocol.statistic),
        spread=measurement.spread,
    )
