"""Measuring finished models on any target, side by side, each beside what was promised of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import fsum
from pathlib import Path
from statistics import median
from typing import Any

from deploy.mlperf import Performance, mlperf_form
from deploy.promise import Outcome, judge
from latency_tables.table import Latency
from pipeline.subjects import Subject
from pipeline.watcher import Watcher
from profilers.environment import Environment
from profilers.errors import TargetError
from profilers.measurement import Measurement
from profilers.protocol import Protocol, Statistic
from profilers.sweep import sweep
from profilers.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times as long as another a model took, burst beside burst: the median, the least and the most."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a model took; `ratio` is to the first model that was measured beside it."""

    subject: Subject
    latency: Latency
    measured_ms: float  # what counts under the protocol
    duration_s: float  # of the runs that count
    ratio: Ratio | None
    outcome: Outcome | None  # of what was promised


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Models that were measured side by side on one target."""

    target: Target
    protocol: Protocol
    environment: Environment
    results: tuple[Result, ...]

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know beside them."""
        found = []
        for result in self.results:
            if result.outcome is not None:
                found += _told(result.subject.name, result.outcome, self.protocol.statistic)
        if any(_of_whole_numbers(result.subject) for result in self.results):
            found.append("inputs of integers wider than a byte were fed zeros and ones")
        return found


def benchmark(
    subjects: Sequence[Subject], target: Target, protocol: Protocol, journal: Path, *, watch: Watcher
) -> Benchmark:
    """Measure each, in bursts that take turns; `journal` gets every raw time, and a second call goes on from there.

    Raises TargetError for a batch that a model does not take, DeviceError where the device fails.
    """
    for subject in subjects:
        subject.artifact.require_batch(target.batch)
    work = {subject.key: subject.artifact for subject in subjects}
    measured = sweep(
        work,
        target,
        protocol,
        journal,
        on_progress=lambda done, planned: watch.progress(str(target), done, planned),
        notify=watch.note,
    )
    first = measured[subjects[0].key]
    results = tuple(_result(subject, measured[subject.key], first, protocol) for subject in subjects)
    return Benchmark(target=target, protocol=protocol, environment=first.environment, results=results)


def shape_of(text: str) -> tuple[str, tuple[int, ...]]:
    """Read `name=1x3x224x224`, or `name=` for a single number; raises TargetError."""
    name, equals, sizes = text.rpartition("=")
    words = sizes.split("x") if sizes else []
    if not (name and equals) or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
        raise TargetError(f"--shape {text!r}: write NAME=SIZES, as in image=1x3x224x224")
    return name, tuple(map(int, words))


def ratio_of(measured: Measurement, other: Measurement) -> Ratio:
    """Of one model's bursts to those of another in the same rounds; of the medians where they share no round."""
    own, others = ({burst.round: burst.undisturbed_ms for burst in each.valid} for each in (measured, other))
    ratios = [own[number] / others[number] for number in own if number in others]
    ratios = ratios or [measured.median_ms / other.median_ms]
    return Ratio(median=median(ratios), least=min(ratios), most=max(ratios))


def document(found: Benchmark) -> dict[str, Any]:
    """As JSON."""
    return {
        "target": str(found.target),
        "protocol": found.protocol.describe(),
        "statistic": found.protocol.statistic,
        "environment": dict(found.environment.facts),
        "models": [_model_document(result) for result in found.results],
        "notes": found.notes,
    }


def mlperf_document(found: Benchmark) -> dict[str, Any]:
    """In the form of MLPerf Mobile's results."""
    return mlperf_form((_performance(found, result) for result in found.results), version=version("millis"))


def _result(subject: Subject, measured: Measurement, first: Measurement, protocol: Protocol) -> Result:
    latency, promise, facts = Latency.of(measured), subject.promise, measured.environment.facts
    return Result(
        subject=subject,
        latency=latency,
        measured_ms=latency.ms(protocol.statistic),
        duration_s=_duration_s(measured),
        ratio=None if measured is first else ratio_of(measured, first),
        outcome=None if promise is None else judge(promise, latency, facts, drift=protocol.drift),
    )


def _told(name: str, outcome: Outcome, statistic: Statistic) -> list[str]:
    """Where a promise comes from, what of it is compared, and why it is not judged."""
    promise, told = outcome.promise, [f"{name}: {outcome.promise.source}"]
    if outcome.found_ms is not None and promise.statistic != statistic:
        told.append(f"{name}: promised, and compared, is its {promise.statistic}")
    if outcome.differs:
        told.append(f"{name}: not judged: {'; '.join(outcome.differs)}")
    return told


def _duration_s(measured: Measurement) -> float:
    told = (burst.statistics for burst in measured.valid)
    means_ms = [each.mean_ms * each.count for each in told if each is not None]
    return fsum([*means_ms, *(time for burst in measured.valid for time in burst.times_ms)]) / 1000


def _of_whole_numbers(subject: Subject) -> bool:
    kinds = [each.dtype for each in subject.artifact.inputs]
    return any(kind.startswith(("int", "uint", "bool")) and kind not in {"int8", "uint8"} for kind in kinds)


def _model_document(result: Result) -> dict[str, Any]:
    subject, latency, outcome, ratio = result.subject, result.latency, result.outcome, result.ratio
    return {
        "model": subject.name,
        "sha256": subject.artifact.sha256,
        "size_bytes": subject.artifact.size_bytes,
        "precision": subject.precision,
        "inputs": {each.name: {"shape": each.shape, "dtype": each.dtype} for each in subject.artifact.inputs},
        "median_ms": latency.median_ms,
        "p90_ms": latency.p90_ms,
        "measured_ms": result.measured_ms,
        "spread": latency.spread,
        "samples": latency.samples,
        "verdict": latency.verdict,
        "promised": None if outcome is None else _promise_document(outcome),
        "difference": None if outcome is None else outcome.difference,
        "kept": None if outcome is None else outcome.holds,
        "differs": () if outcome is None else outcome.differs,
        "ratio": None if ratio is None else {"median": ratio.median, "least": ratio.least, "most": ratio.most},
    }


def _promise_document(outcome: Outcome) -> Mapping[str, object]:
    promise = outcome.promise
    told = {"ms": promise.ms, "statistic": promise.statistic, "interval_ms": outcome.interval_ms}
    return told | {"found_ms": outcome.found_ms, "source": promise.source, "device": dict(promise.device)}


def _performance(found: Benchmark, result: Result) -> Performance:
    subject, latency = result.subject, result.latency
    assert latency.p90_ms is not None  # of what was measured here
    return Performance(
        name=subject.name,
        model_path=str(subject.artifact.path.name),
        target=found.target,
        runtime_version=found.environment.facts["runtime_version"],
        precision=subject.precision or "not told",
        median_ms=latency.median_ms,
        p90_ms=latency.p90_ms,
        samples=latency.samples,
        duration_s=result.duration_s,
        protocol=found.protocol.describe(),
        device=found.environment.facts,
        accuracy=subject.accuracy,
        data=subject.data,
    )
