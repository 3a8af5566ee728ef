"""The latency table: what each operation costs on one target."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from latency_tables.calibration import Calibration, MeasuredNetwork, calibrate
from latency_tables.errors import MissingOpError
from profilers.environment import Environment
from profilers.measurement import Measurement, Verdict
from profilers.operations import OpSpec
from profilers.protocol import Protocol
from profilers.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """What one operation, compiled alone, took: median over burst medians, 90th percentile over all runs."""

    median_ms: float
    p90_ms: float
    spread: float
    samples: int
    verdict: Verdict

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
    that was not measured. Free operations cost nothing and need no entry.
    """

    target: Target
    environment: Environment
    protocol: Protocol
    entries: Mapping[OpSpec, Latency]
    calibration: Calibration = field(default_factory=Calibration)
    path: Path | None = None  # where the table lies, for messages

    def __getitem__(self, op: OpSpec) -> Latency:
        if op not in self.entries:
            where = self.path or Path(f"{self.target.slug}.yaml")
            raise MissingOpError(
                f"{where}: operation {str(op)!r} was not measured on {self.target}; measure it with: "
                f"millis profile --op {shlex.quote(str(op))} --target {shlex.quote(str(self.target))} -o {where}"
            )
        return self.entries[op]

    def op_ms(self, op: OpSpec) -> float:
        """What the operation adds to a network, ms."""
        return 0.0 if op.free else self.calibration.op_ms(self[op].median_ms)

    def network_ms(self, ops: Iterable[OpSpec]) -> float:
        """Predicted latency of a network, ms."""
        return self.calibration.base_ms + sum(self.op_ms(op) for op in ops)

    def summary(self) -> str:
        """One line: what was measured, how steady it was, how well the calibration fits its own networks."""
        text = f"{self.target}: {len(self.entries)} operations, {len(self.noisy)} noisy"
        if not self.calibration.networks:
            return f"{text}, not calibrated on whole networks"
        return f"{text}, {self.calibration.describe()}"

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
    path: Path | None = None,
) -> LatencyTable:
    """A table from measurements of operations and whole networks; raises EnvironmentMismatchError if they disagree.

    `networks` are (name, operations, measurement); at least one operation must have been measured.
    """
    environment = next(iter(measurements.values())).environment
    for op, measurement in measurements.items():
        measurement.environment.require_same(environment, what=f"operation {op}")
    for name, _, measurement in networks:
        measurement.environment.require_same(environment, what=f"network {name}")
    entries = {op: Latency.of(measurement) for op, measurement in measurements.items()}
    whole = [_summed(name, ops, measurement, entries) for name, ops, measurement in networks]
    return LatencyTable(
        target=target,
        environment=environment,
        protocol=protocol,
        entries=entries,
        calibration=calibrate((latency.median_ms for latency in entries.values()), whole),
        path=path,
    )


def _summed(
    name: str, ops: Sequence[OpSpec], measurement: Measurement, entries: Mapping[OpSpec, Latency]
) -> MeasuredNetwork:
    kernels = [op for op in ops if not op.free]
    return MeasuredNetwork(
        name=name,
        ops=len(kernels),
        sum_ms=sum(entries[op].median_ms for op in kernels),
        measured_ms=measurement.median_ms,
        spread=measurement.spread,
    )
