"""Promises: latencies that were told beforehand, and whether what is measured keeps them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.bundle_files import whole_bundle
from deploy.errors import BundleError
from deploy.manifest import Measured, Model
from latency_tables.table import Latency
from profilers.devices import Notify, tell_nobody
from profilers.errors import TargetError
from profilers.protocol import Protocol, Statistic, protocol_described
from profilers.sweep import Progress, ignore_progress, sweep
from profilers.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A latency that was told beforehand: measured, with its spread, or predicted, with an interval."""

    ms: float
    statistic: Statistic | None  # what of a measurement it is; None where its protocol is not known here
    source: str
    device: Mapping[str, str]  # where it holds
    spread: float = 0.0
    interval_ms: tuple[float, float] | None = None

    @staticmethod
    def of(measured: Measured) -> Promise:
        """What a manifest tells."""
        protocol = protocol_described(measured.protocol)
        name = measured.protocol.partition(":")[0]
        return Promise(
            ms=measured.measured_ms,
            statistic=None if protocol is None else protocol.statistic,
            source=f"promised by the manifest, measured on {measured.target}, protocol {name}",
            device=measured.device,
            spread=measured.spread,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A promise beside what was measured; `differs` names what is not as it was where the promise was made."""

    promise: Promise
    found_ms: float | None  # what the promise is of: its median for a median; None where that was not measured
    interval_ms: tuple[float, float]  # what is as promised
    differs: tuple[str, ...]

    @property
    def difference(self) -> float | None:
        """From what was promised, as a fraction of it."""
        return None if self.found_ms is None else self.found_ms / self.promise.ms - 1

    @property
    def holds(self) -> bool | None:
        """Whether it is not slower than promised; None where anything but what was promised was measured."""
        return None if self.differs or self.found_ms is None else self.found_ms <= self.interval_ms[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Remeasured:
    """The main model of a bundle, measured again."""

    promised: Measured
    target: str
    latency: Latency
    measured_ms: float  # what counts under the protocol of the promise
    outcome: Outcome

    @property
    def within_budget(self) -> bool:
        return self.measured_ms <= self.promised.budget_ms


def judge(promise: Promise, latency: Latency, facts: Mapping[str, str], *, drift: float) -> Outcome:
    """A promise beside a latency that was measured where the facts are these, under a protocol of that drift.

    A device that is slowed down by less than `drift` counts as undisturbed, and each latency is uncertain by its
    spread: up to there it is as promised. Predictions come with their own interval.
    """
    slack_ms = promise.ms * max(drift, promise.spread + latency.spread)
    found_ms = _like(promise, latency)
    unlike = () if found_ms is not None else (f"{promise.statistic or 'another protocol'} there, not measured here",)
    return Outcome(
        promise=promise,
        found_ms=found_ms,
        interval_ms=promise.interval_ms or (max(0.0, promise.ms - slack_ms), promise.ms + slack_ms),
        differs=(*unlike, *_differences(promise.device, facts)),
    )


def nearest(measured: Sequence[Measured], target: Target) -> Measured | None:
    """What was measured on this very target; or else first, which a judgement then says."""
    here = [each for each in measured if (told := _target_of(each)) is not None and told.place == target.place]
    return next(iter((*here, *measured)), None)


def measure_promise(
    bundle: Path,
    target: Target | None = None,
    *,
    on_progress: Progress = ignore_progress,
    notify: Notify = tell_nobody,
) -> Remeasured:
    """Measure the main model of a bundle's folder or .zip under the protocol of its promise.

    On `target`, by default on this machine as the manifest says; the precision is the file's. Raises BundleError for a
    damaged bundle, one that promises nothing or something for another machine, and a target that does not run the model
    or cannot be measured.
    """
    with whole_bundle(bundle) as (folder, manifest):
        model = manifest.model
        if not model.measured:
            raise BundleError(f"{model.path}: no latency is promised; measure it with: millis benchmark")
        place = _with_file(target or _here(model.measured[0]), model)
        promised = nearest(model.measured, place) or model.measured[0]
        protocol = _require_protocol(promised)
        with tempfile.TemporaryDirectory(prefix="millis-measure-") as scratch:
            work, journal = {model.name: model.artifact(folder)}, Path(scratch) / "measurements.jsonl"
            [measurement] = sweep(work, place, protocol, journal, on_progress=on_progress, notify=notify).values()
    latency = Latency.of(measurement)
    return Remeasured(
        promised=promised,
        target=str(place),
        latency=latency,
        measured_ms=latency.ms(protocol.statistic),
        outcome=judge(Promise.of(promised), latency, measurement.environment.facts, drift=protocol.drift),
    )


def _here(promised: Measured) -> Target:
    """Where a promise was made, if that is this machine: no manifest has us connect anywhere, or open a file."""
    target = _target_of(promised)
    if target is None or target.device != "local":
        raise BundleError(f"its latency was measured on {promised.target!r}: give --target to say where to measure")
    return target


def _target_of(measured: Measured) -> Target | None:
    """None where this version cannot read what may be a stranger's text."""
    try:
        return Target.from_text(measured.target)
    except TargetError:
        return None


def _with_file(target: Target, model: Model) -> Target:
    """The target in the precision of the file. Raises TargetError for one of another runtime."""
    if target.runtime != model.runtime:
        raise TargetError(f"{target} does not run {model.path}, which is for {model.runtime}")
    return replace(target, precision=model.precision)


def _require_protocol(promised: Measured) -> Protocol:
    protocol = protocol_described(promised.protocol)
    if protocol is None:
        raise BundleError(f"measured under a protocol that this version does not have: {promised.protocol}")
    return protocol


def _like(promise: Promise, latency: Latency) -> float | None:
    """The same statistic as was promised; None where it is not known."""
    try:
        return None if promise.statistic is None else latency.ms(promise.statistic)
    except ValueError:
        return None


def _differences(there: Mapping[str, str], here: Mapping[str, str]) -> tuple[str, ...]:
    """How another device, or other software, was measured: its facts tell, not its address. Precision is the file's."""
    return tuple(
        f"{name} {there.get(name, 'unknown')} there, {here.get(name, 'unknown')} here"
        for name in sorted({*here, *there} - {"precision"})
        if here.get(name) != there.get(name)
    )
