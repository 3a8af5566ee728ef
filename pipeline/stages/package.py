"""Stage `package`: a bundle for each target that asks for one, verified as a user would."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from deploy.bundle import BundleContents
from deploy.errors import PackagerError
from deploy.manifest import Accuracy, Data, Measured, Network
from deploy.packagers import load_packager, pack
from deploy.verify import verify
from pipeline.plan import Plan, TargetPlan
from pipeline.run import Run
from pipeline.stage import Stage
from pipeline.stages.export import read_exports, test_images
from pipeline.stages.measure import read_measured
from pipeline.stages.train import read_train_record
from profilers.errors import MillisError
from profilers.runtimes import installed, load_runtime
from profilers.target import Target

GOLDEN_IMAGES = 8


def bundles_folder(run: Run) -> Path:
    return run.folder / "bundles"


def bundled(run: Run) -> list[TargetPlan]:
    """The targets that ask for a bundle."""
    return [target for target in run.plan.targets if target.bundle is not None]


def assign_bundles(plan: Plan, names: Sequence[str]) -> Plan:
    """The plan with each bundle given to the first target whose runtime makes what it ships; raises PackagerError."""
    chosen: dict[str, str] = {}
    for name in names:
        wanted = load_packager(name).format
        fitting = [t.target for t in plan.targets if load_runtime(Target.parse(t.target).runtime).format == wanted]
        free = [target for target in fitting if target not in chosen]
        if not free:
            raise PackagerError(f"packager {name}: ships {wanted} files, and no target of this run makes one for it")
        chosen[free[0]] = name
    return replace(plan, targets=tuple(replace(t, bundle=chosen.get(t.target)) for t in plan.targets))


def contents_for(run: Run, target: TargetPlan) -> BundleContents:
    """Everything a packager needs to know of the network on this target."""
    parsed = Target.parse(target.target)
    exported = read_exports(run)[parsed.runtime]
    architecture = run.architecture()
    record = read_train_record(run)
    return BundleContents(
        name=run.plan.name,
        artifact=exported.artifact,
        labels=run.data.classes,
        mean=run.data.normalisation.mean,
        std=run.data.normalisation.std,
        golden_images=test_images(run, GOLDEN_IMAGES).contiguous().numpy(),
        network=Network(
            space=run.space.name,
            choices=architecture.labels,
            params=architecture.params,
            macs=architecture.macs,
        ),
        measured=_measured(run, target),
        accuracy=Accuracy.of(correct=record.test_correct, images=record.test_images),
        parity=exported.parity,
        versions=_versions(parsed),
        data=Data(
            name=run.plan.data,
            description=f"{len(run.data.weights)} images to train on, {len(run.data.test)} to test on",
            licence="see the source of the data set",
        ),
    )


def _measured(run: Run, target: TargetPlan) -> Measured:
    goal = run.goal(target)
    found = read_measured(run)[target.target]
    return Measured(
        target=str(goal.target),
        runtime=goal.target.runtime,
        runtime_version=found.environment["runtime_version"],
        threads=goal.target.threads,
        precision=goal.target.precision,
        budget_ms=goal.budget_ms,
        predicted_ms=goal.table.network_ms(run.architecture().ops()),
        measured_ms=found.measured_ms,
        p90_ms=found.latency.ms("p90"),
        spread=found.latency.spread,
        samples=found.latency.samples,
        protocol=found.protocol,
        device=found.environment,
    )


def _versions(target: Target) -> dict[str, str]:
    found = [installed(name).partition(" ") for name in ("millis", *load_runtime(target.runtime).packages)]
    return {"python": platform.python_version()} | {name: number for name, _, number in found}


def _inputs(run: Run) -> Sequence[object]:
    bundles = [[target.target, target.bundle] for target in bundled(run)]
    facts = {runtime: one.artifact.sha256 for runtime, one in read_exports(run).items()}
    files = [run.folder / "measured" / "measured.json", run.folder / "train" / "result.json", run.architecture_path]
    return [run.plan.name, version("millis"), bundles, facts, *files]


def _outputs(run: Run) -> Sequence[Path]:
    return [bundles_folder(run) / f"{target.bundle}.zip" for target in bundled(run)]


def _perform(run: Run) -> None:
    for target in bundled(run):
        if target.bundle is None:
            continue
        bundle = pack(target.bundle, contents_for(run, target), bundles_folder(run))
        checked = verify(bundle.folder)
        if not checked.complete:
            raise MillisError(f"{bundle.folder}: the bundle could not be verified in full on this machine")
        run.watch.note(f"{bundle.folder}: {len(checked.checks)} checks passed")


PACKAGE = Stage(name="package", inputs=_inputs, work="bundles", outputs=_outputs, perform=_perform)
