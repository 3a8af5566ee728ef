"""Whether a bundle keeps its promise: its main model measured again, beside the latency that its manifest states."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.bundle_files import whole_bundle
from deploy.errors import BundleError
from deploy.manifest import Manifest, Measured, Model
from latency_tables.table import Latency
from profilers.artifact import Artifact
from profilers.devices import Notify, tell_nobody
from profilers.errors import TargetError
from profilers.protocol import PROTOCOLS, Protocol
from profilers.sweep import Progress, ignore_progress, sweep
from profilers.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """What was promised and what is found; `differs` names what is not as it was where the promise was made."""

    promised: Measured
    target: str
    latency: Latency
    measured_ms: float  # what counts under the protocol of the promise
    slack: float  # by which fraction the two may differ
    differs: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        return not self.differs

    @property
    def interval_ms(self) -> tuple[float, float]:
        """What is as promised."""
        ms = self.promised.measured_ms
        return ms * (1 - self.slack), ms * (1 + self.slack)

    @property
    def holds(self) -> bool | None:
        """Whether it is not slower than promised; None where another device, or other software, was measured."""
        return self.measured_ms <= self.interval_ms[1] if self.comparable else None

    @property
    def within_budget(self) -> bool:
        return self.measured_ms <= self.promised.budget_ms


def measure_promise(
    bundle: Path,
    target: Target | None = None,
    *,
    on_progress: Progress = ignore_progress,
    notify: Notify = tell_nobody,
) -> Promise:
    """Measure the main model of a bundle's folder or .zip under the protocol of its promise.

    On `target`, by default the one that it was measured on; the precision is the file's. Raises BundleError for a
    damaged bundle, one that promises nothing, and a target that does not run the model or cannot be measured.
    """
    with whole_bundle(bundle) as (folder, manifest):
        model = manifest.model
        asked = None if target is None else _place(target, model)
        promised = _promise_for(manifest, asked)
        place = asked or Target.parse(promised.target)
        protocol = _protocol(promised)
        artifact = Artifact.of(folder / model.path, format=model.format, inputs=model.inputs, outputs=model.outputs)
        with tempfile.TemporaryDirectory(prefix="millis-measure-") as scratch:
            journal = Path(scratch) / "measurements.jsonl"
            found = sweep({model.name: artifact}, place, protocol, journal, on_progress=on_progress, notify=notify)
        measurement = found[model.name]
    latency = Latency.of(measurement)
    return Promise(
        promised=promised,
        target=str(place),
        latency=latency,
        measured_ms=latency.ms(protocol.statistic),
        # A device that is slowed down by less than `drift` counts as undisturbed under the protocol.
        slack=max(protocol.drift, promised.spread + latency.spread),
        differs=_differences(promised, str(place), dict(measurement.environment.facts)),
    )


def _place(target: Target, model: Model) -> Target:
    """Where a model is measured. Raises TargetError for a target of another runtime."""
    if target.runtime != model.runtime:
        raise TargetError(f"{target} does not run {model.path}, which is for {model.runtime}")
    return replace(target, precision=model.precision)


def _promise_for(manifest: Manifest, target: Target | None) -> Measured:
    """The promise for a target, or the first one, which the outcome is then told not to be for."""
    if not manifest.model.measured:
        raise BundleError(f"{manifest.model.path}: no latency is promised; measure it with: millis benchmark")
    same = [each for each in manifest.model.measured if target is not None and each.target == str(target)]
    return (same or list(manifest.model.measured))[0]


def _protocol(promised: Measured) -> Protocol:
    for protocol in PROTOCOLS.values():
        if protocol.describe() == promised.protocol:
            return protocol
    raise BundleError(f"measured under a protocol that this version does not have: {promised.protocol}")


def _differences(promised: Measured, target: str, facts: dict[str, str]) -> tuple[str, ...]:
    here = {"target": target, **facts}
    there = {"target": promised.target, **promised.device}
    return tuple(
        f"{name} {there.get(name, 'unknown')} there, {here.get(name, 'unknown')} here"
        for name in sorted({*here, *there})
        if here.get(name) != there.get(name)
    )
