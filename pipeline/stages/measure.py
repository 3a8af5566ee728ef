"""Stage `measure`: the exported files on their targets, by the timing loop that made the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

from latency_tables.table import Latency
from pipeline.device_trial import DoesNotRunError, Trial
from pipeline.run import Run
from pipeline.stage import Stage
from pipeline.stages.export import Exports, read_exports
from profilers.artifact import Artifact
from profilers.files import read_json, write_json
from profilers.measurement import Measurement
from profilers.precision import Precision
from profilers.protocol import Protocol, protocol_named
from profilers.sweep import sweep
from profilers.target import Target

# 1: latency, environment and protocol by target. 2: what of the latency counts. 3: by target and precision, and what
#    does not run
SCHEMA = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """Latency of the exported network on one target, and where and how it was measured."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    latency: Latency
    measured_ms: float  # what counts under the protocol
    environment: dict[str, str]
    protocol: str

    @staticmethod
    def of(measurement: Measurement, protocol: Protocol) -> MeasuredNetwork:
        latency = Latency.of(measurement)
        return MeasuredNetwork(
            latency=latency,
            measured_ms=latency.ms(protocol.statistic),
            environment=dict(measurement.environment.facts),
            protocol=protocol.describe(),
        )


ByPrecision = dict[Precision, MeasuredNetwork]


def read_measured(run: Run) -> dict[str, ByPrecision]:
    """What was measured, by target and precision."""
    return _read(run).targets


def read_failures(run: Run) -> dict[str, dict[Precision, str]]:
    """Why a target does not run a file that was made for it, by target and precision."""
    failed = _read(run).failed
    return {target.target: failed.get(target.target, {}) for target in run.plan.targets}


def _read(run: Run) -> _Record:
    return read_json(_record(run), _Record, kind="record of measurements", schema=SCHEMA)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    targets: dict[str, ByPrecision]
    failed: dict[str, dict[Precision, str]] = field(default_factory=dict)


def _record(run: Run) -> Path:
    return run.folder / "measured" / "measured.json"


def _inputs(run: Run) -> Sequence[object]:
    sums = {each.name: each.artifact.sha256 for each in read_exports(run).variants}
    return [sums, [target.target for target in run.plan.targets], run.plan.profile.protocol]


def _outputs(run: Run) -> Sequence[Path]:
    return [_record(run)]


def _perform(run: Run) -> None:
    exports = read_exports(run)
    protocol = protocol_named(run.plan.profile.protocol)
    measured: dict[str, ByPrecision] = {}
    failed: dict[str, dict[Precision, str]] = {}
    for target in run.plan.targets:
        measured[target.target], failed[target.target] = _measured(run, target.parsed, exports, protocol)
    write_json(_record(run), {"schema": SCHEMA, **asdict(_Record(targets=measured, failed=failed))})


def _measured(
    run: Run, target: Target, exports: Exports, protocol: Protocol
) -> tuple[ByPrecision, dict[Precision, str]]:
    """All precisions in one sweep, each burst beside those of the others: so they can be compared.

    Also why a file is not among them that the target does not run. Raises DeviceError where that is fp32, with which
    the others are compared, or the target's own precision.
    """
    journal = run.folder / "measured" / f"{target.slug}.measurements.jsonl"
    work, failed = _work(target, exports), dict[Precision, str]()
    trial = Trial(target, {name: each for name, each in work.items() if name not in {"fp32", target.precision}})
    while True:
        running = {str(name): each for name, each in work.items() if name not in failed}
        try:
            found = sweep(running, target, protocol, journal, notify=run.watch.note, opener=trial.open)
        except DoesNotRunError as error:
            failed[error.precision] = error.reason
            run.watch.note(f"{target}: does not run {error.precision}: {error.reason}; left out")
        else:
            return {name: MeasuredNetwork.of(found[name], protocol) for name in work if name in found}, failed


def _work(target: Target, exports: Exports) -> Mapping[Precision, Artifact]:
    """A CPU runs every precision; an accelerator is asked for its target's own."""
    return {
        each.precision: each.artifact
        for each in exports.variants
        if each.runtime == target.runtime and (target.accelerator == "cpu" or each.precision == target.precision)
    }


MEASURE = Stage(name="measure", inputs=_inputs, work="measured", outputs=_outputs, perform=_perform)
