"""Stage `package`: the bundles that the plan asks for, each of the files chosen for it, verified as a user would."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from deploy.choice import choose, deciding
from deploy.kind import Kind
from deploy.manifest import Accuracy, Calibration, Data, Measured, Network, Refused
from deploy.packager import BundleContents, Packager
from deploy.packagers import load_packager, pack
from deploy.parity import reference_outputs
from deploy.variant import Candidate, Variant, Verdict
from deploy.verify import verify
from pipeline.plan import TargetPlan
from pipeline.run import Run
from pipeline.shipping import bundle_kinds, packages_of
from pipeline.stage import Stage
from pipeline.stages.export import evenly, read_exports, trained_network
from pipeline.stages.measure import read_failures, read_measured
from pipeline.stages.train import read_train_record
from profilers.errors import MillisError
from profilers.precision import Precision
from profilers.runtimes import installed

GOLDEN_IMAGES = 8


def bundles_folder(run: Run) -> Path:
    return run.folder / "bundles"


def verdicts_for(run: Run, packager: Packager) -> tuple[Verdict, ...]:
    """What a bundle ships and what it leaves out, the file to use first."""
    wanted = bundle_kinds(run.plan, packager)
    groups = [
        _group(run, packager, runtime, [kind.precision for kind in wanted if kind.runtime == runtime])
        for runtime in dict.fromkeys(kind.runtime for kind in wanted)
    ]
    return tuple(verdict for group in _fastest_first(packager, groups) for verdict in group)


def verdicts_on(run: Run, target: TargetPlan) -> tuple[Verdict, ...]:
    """The same for one target by itself: what would be shipped for it."""
    precisions = list(read_measured(run)[target.target])
    candidates = [
        Candidate(variant=variant, measured=(measured_on(run, target, precision),))
        for precision in precisions
        if (variant := read_exports(run).variant(Kind(target.parsed.runtime, precision)))
    ]
    return choose(candidates, on=[target.parsed], max_accuracy_drop=run.plan.max_accuracy_drop)


def measured_on(run: Run, target: TargetPlan, precision: Precision) -> Measured:
    """Latency of a file on a target; predicted where the target's table is of its precision."""
    goal, found = run.goal(target), read_measured(run)[target.target][precision]
    predicted = precision == goal.target.precision
    return Measured(
        target=str(replace(goal.target, precision=precision)),
        runtime=goal.target.runtime,
        runtime_version=found.environment["runtime_version"],
        threads=goal.target.threads,
        precision=precision,
        budget_ms=goal.budget_ms,
        predicted_ms=goal.table.network_ms(run.architecture().ops()) if predicted else None,
        measured_ms=found.measured_ms,
        p90_ms=found.latency.ms("p90"),
        spread=found.latency.spread,
        samples=found.latency.samples,
        protocol=found.protocol,
        device={**found.environment, "precision": precision},  # the file's; on a CPU its target may name another
    )


def _group(run: Run, packager: Packager, runtime: str, precisions: Sequence[Precision]) -> tuple[Verdict, ...]:
    """The verdicts on the files of one runtime; fp32 is among those compared, whether or not it may be shipped."""
    exports = read_exports(run)
    compared = dict.fromkeys((*precisions, "fp32"))
    variants = [each for name in compared if (each := exports.variant(Kind(runtime, name)))]
    targets = run.plan.suiting(packager, runtime)
    verdicts = choose(
        [_candidate(run, targets, each) for each in variants],
        on=[each.parsed for each in targets],
        max_accuracy_drop=run.plan.max_accuracy_drop,
        among=precisions,
        group_of=packager.group_of,
    )
    return tuple(each for each in verdicts if each.candidate.variant.precision in packager.precisions)


def _candidate(run: Run, targets: Sequence[TargetPlan], variant: Variant) -> Candidate:
    """A file with what was found on each of these targets."""
    precision, known, failed = variant.precision, read_measured(run), read_failures(run)
    return Candidate(
        variant=variant,
        measured=tuple(measured_on(run, each, precision) for each in targets if precision in known[each.target]),
        failed={each.target: why for each in targets if (why := failed[each.target].get(precision))},
    )


def _fastest_first(packager: Packager, groups: Sequence[Sequence[Verdict]]) -> list[Sequence[Verdict]]:
    """By the likeliest kind of device that measured the best of each, then by latency on those that measured all."""
    times = [_ms_by_device(group) for group in groups]
    shared = [device for device in times[0] if all(device in each for each in times)] if times else []

    def merit(which: int) -> tuple[int, float]:
        kinds = [packager.devices.index(device.partition(":")[0]) for device in times[which]]
        return min(kinds, default=len(packager.devices)), math.prod(times[which][device] for device in shared)

    return [groups[which] for which in sorted(range(len(groups)), key=merit)]


def _ms_by_device(group: Sequence[Verdict]) -> dict[str, float]:
    """Of the best of a group, on each device of the likeliest kind."""
    found = group[0].candidate.by_place if group else {}
    return {place.device: found[place].measured_ms for place in deciding(list(found))}


def contents_for(run: Run, packager: Packager) -> BundleContents:
    """Everything a packager needs to know of the network."""
    architecture, record = run.architecture(), read_train_record(run)
    verdicts = verdicts_for(run, packager)
    images = evenly(run, run.data.test, GOLDEN_IMAGES)
    return BundleContents(
        name=run.plan.name,
        verdicts=verdicts,
        max_accuracy_drop=run.plan.max_accuracy_drop,
        labels=run.data.classes,
        mean=run.data.normalisation.mean,
        std=run.data.normalisation.std,
        golden_images=images.numpy(),
        golden_logits=reference_outputs(trained_network(run), images),
        network=Network(
            space=run.space.name,
            choices=architecture.labels,
            params=architecture.params,
            macs=architecture.macs,
        ),
        accuracy=Accuracy.of(correct=record.test_correct, images=record.test_images),
        versions=_versions(verdict.candidate.variant.runtime for verdict in verdicts),
        data=Data(
            name=run.plan.data,
            description=f"{len(run.data.weights)} images to train on, {len(run.data.test)} to test on",
            licence=run.data.licence,
        ),
        refused=refused_for(run, packager),
        calibration=_calibration(run, verdicts),
    )


def refused_for(run: Run, packager: Packager) -> tuple[Refused, ...]:
    """What a bundle would have chosen among, had its converter not refused."""
    reasons = read_exports(run).refused
    return tuple(
        Refused(runtime=kind.runtime, precision=kind.precision, reason=reasons[kind.name])
        for kind in bundle_kinds(run.plan, packager)
        if kind.name in reasons
    )


def _calibration(run: Run, verdicts: Iterable[Verdict]) -> Calibration | None:
    if all(verdict.candidate.variant.precision != "int8" for verdict in verdicts):
        return None
    told = "of those that the weights were trained on, spread evenly over them"
    return Calibration(images=read_exports(run).calibration_images, description=told)


def _versions(runtimes: Iterable[str]) -> dict[str, str]:
    """Of this program and of what made the files."""
    packages = dict.fromkeys(["millis"])
    for runtime in runtimes:
        packages |= dict.fromkeys(packages_of(runtime))
    found = [installed(name).partition(" ") for name in packages]
    return {"python": platform.python_version()} | {name: number for name, _, number in found}


def _inputs(run: Run) -> Sequence[object]:
    plan = run.plan
    asked = [list(plan.bundles), list(plan.precisions), plan.max_accuracy_drop]
    facts = {each.name: each.artifact.sha256 for each in read_exports(run).variants}
    files = [run.folder / "measured" / "measured.json", run.folder / "train" / "result.json", run.architecture_path]
    targets = [[target.target, target.budget] for target in plan.targets]
    return [plan.name, version("millis"), asked, facts, targets, run.folder / "artifacts" / "exports.json", *files]


def _outputs(run: Run) -> Sequence[Path]:
    return [bundles_folder(run) / f"{name}.zip" for name in run.plan.bundles]


def _perform(run: Run) -> None:
    for name in run.plan.bundles:
        packager = load_packager(name)
        bundle = pack(name, contents_for(run, packager), bundles_folder(run))
        checked = verify(bundle.folder)
        done = sum(check.done for check in checked.checks)
        if not checked.complete and not packager.unmeasured:
            raise MillisError(f"{bundle.folder}: the bundle could not be verified in full on this machine")
        left = "" if checked.complete else f", {len(checked.checks) - done} cannot be done on this machine"
        run.watch.note(f"{bundle.folder}: {done} checks passed{left}")


PACKAGE = Stage(name="package", inputs=_inputs, work="bundles", outputs=_outputs, perform=_perform)
