"""Stage `measure`: the exported files on their targets, by the timing loop that made the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

from latency_tables.table import Latency
from pipeline.run import Run
from pipeline.stage import Stage
from pipeline.stages.export import read_exports
from profilers.files import read_json, write_json
from profilers.protocol import protocol_named
from profilers.sweep import sweep
from profilers.target import Target

SCHEMA = 2  # 1: latency, environment and protocol by target. 2: what of the latency counts


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """Latency of the exported network on one target, and where and how it was measured."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    latency: Latency
    measured_ms: float  # what counts under the protocol
    environment: dict[str, str]
    protocol: str


def read_measured(run: Run) -> dict[str, MeasuredNetwork]:
    """What was measured, by target."""
    return read_json(_record(run), _Record, kind="record of measurements", schema=SCHEMA).targets


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    targets: dict[str, MeasuredNetwork]


def _record(run: Run) -> Path:
    return run.folder / "measured" / "measured.json"


def _inputs(run: Run) -> Sequence[object]:
    sums = {runtime: one.artifact.sha256 for runtime, one in read_exports(run).items()}
    return [sums, [target.target for target in run.plan.targets], run.plan.profile.protocol]


def _outputs(run: Run) -> Sequence[Path]:
    return [_record(run)]


def _perform(run: Run) -> None:
    exports = read_exports(run)
    protocol = protocol_named(run.plan.profile.protocol)
    measured = {}
    for name in (target.target for target in run.plan.targets):
        target = Target.parse(name)
        journal = run.folder / "measured" / f"{target.slug}.measurements.jsonl"
        work = {"network": exports[target.runtime].artifact}
        measurement = sweep(work, target, protocol, journal, notify=run.watch.note)["network"]
        latency = Latency.of(measurement)
        measured[name] = MeasuredNetwork(
            latency=latency,
            measured_ms=latency.ms(protocol.statistic),
            environment=dict(measurement.environment.facts),
            protocol=protocol.describe(),
        )
    write_json(_record(run), {"schema": SCHEMA, "targets": {name: asdict(one) for name, one in measured.items()}})


MEASURE = Stage(name="measure", inputs=_inputs, work="measured", outputs=_outputs, perform=_perform)
