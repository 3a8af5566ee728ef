"""Stage `report`: report.json and report.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from deploy.kind import Kind
from deploy.manifest import Accuracy
from deploy.models import parted
from deploy.packager import Packager
from deploy.packagers import load_packager
from deploy.variant import Verdict
from pipeline.budget import Reach
from pipeline.collapse import parameterless
from pipeline.metrics import read_metrics
from pipeline.plan import TargetPlan
from pipeline.report import (
    BlockReport,
    CalibrationPoint,
    PrecisionReport,
    Report,
    TargetReport,
    finite,
    write_report,
)
from pipeline.run import Run
from pipeline.search_task import SearchEpoch, SearchResult
from pipeline.stage import Stage, seconds_taken
from pipeline.stages.baseline import baseline_beside
from pipeline.stages.export import Exports, read_exports
from pipeline.stages.measure import MeasuredNetwork, read_measured
from pipeline.stages.package import measured_on, verdicts_for, verdicts_on
from pipeline.stages.search import metrics_of
from pipeline.stages.train import read_train_record
from profilers.files import check
from profilers.precision import Precision


def build_report(run: Run) -> Report:
    """Everything that the stages of a run found, in one value."""
    plan, architecture, record = run.plan, run.architecture(), read_train_record(run)
    result = SearchResult.load(run.search_result_path)
    accuracy = Accuracy.of(correct=record.test_correct, images=record.test_images)
    stages = {name: seconds for name, seconds in seconds_taken(run).items() if name != "report"}
    return Report(
        millis_version=version("millis"),
        name=plan.name,
        space=run.space.name,
        data=plan.data,
        strategy=plan.search.strategy,
        seed=plan.seed,
        budget_ms={str(goal.target): goal.budget_ms for goal in run.goals},
        accuracy=accuracy.top1,
        accuracy_interval=(accuracy.low_95, accuracy.high_95),
        test_images=record.test_images,
        params=architecture.params,
        macs=architecture.macs,
        wall_s=sum(stages.values()),
        stages=stages,
        targets=tuple(_target(run, target) for target in plan.targets),
        blocks=_blocks(run),
        search=_search(run, result),
        train=record.epochs,
        parameterless=parameterless(architecture),
        seeds=result.seeds,
        baseline=baseline_beside(run) if plan.baseline else None,
    )


def _target(run: Run, target: TargetPlan) -> TargetReport:
    goal = run.goal(target)
    reach = Reach.of(run.space, goal.table)
    bundles = [f"bundles/{name}" for name in _bundles(run, target)]
    precisions = _precisions(run, target)
    own = next(each for each in precisions if each.precision == goal.target.precision)
    environment = read_measured(run)[target.target][own.precision].environment
    return TargetReport(
        target=str(goal.target),
        runtime_version=environment["runtime_version"],
        budget=target.budget,
        budget_ms=goal.budget_ms,
        fastest_ms=reach.fastest_ms,
        slowest_ms=reach.slowest_ms,
        predicted_ms=goal.table.network_ms(run.architecture().ops()),
        measured_ms=own.measured_ms,
        p90_ms=own.p90_ms,
        spread=own.spread,
        samples=own.samples,
        size_bytes=own.size_bytes,
        parity_max_abs_difference=own.parity_max_abs_difference,
        parity_top1_agreement=own.parity_top1_agreement,
        bundle=bundles[0] if bundles else "",
        bundles=tuple(bundles),
        device=environment,
        precisions=precisions,
        calibration=CalibrationPoint.all_of(goal.table),
    )


def _bundles(run: Run, target: TargetPlan) -> list[str]:
    """Those for which this target's measurements count."""
    return [name for name in run.plan.bundles if load_packager(name).suits(target.parsed)]


def _precisions(run: Run, target: TargetPlan) -> tuple[PrecisionReport, ...]:
    """Everything measured on a target: what is shipped there first."""
    exports, measured = read_exports(run), read_measured(run)[target.target]
    told = {verdict.candidate.variant.precision: verdict for verdict in _verdicts(run, target)}
    names = dict.fromkeys([*(name for name in told if name in measured), *measured])
    return tuple(_precision(exports, target, measured[name], name, told.get(name)) for name in names)


def _precision(
    exports: Exports, target: TargetPlan, measured: MeasuredNetwork, precision: Precision, verdict: Verdict | None
) -> PrecisionReport:
    variant = exports.variant(Kind(target.parsed.runtime, precision))
    assert variant is not None  # what was measured was exported, and run
    assert variant.parity is not None and variant.test is not None and variant.validation is not None
    return PrecisionReport(
        precision=precision,
        shipped=verdict is not None and verdict.shipped,
        reason="not for the bundles of this target" if verdict is None else verdict.reason,
        measured_ms=measured.measured_ms,
        p90_ms=measured.latency.ms("p90"),
        spread=measured.latency.spread,
        samples=measured.latency.samples,
        size_bytes=variant.artifact.size_bytes,
        accuracy=variant.test.top1,
        test_images=variant.test.images,
        validation_accuracy=variant.validation.top1,
        validation_images=variant.validation.images,
        parity_max_abs_difference=finite(variant.parity.max_abs_difference),
        parity_top1_agreement=variant.parity.top1_agreement,
    )


def _verdicts(run: Run, target: TargetPlan) -> Sequence[Verdict]:
    """Those of the first bundle that ships a file of this target's runtime, or else of the target by itself.

    What the bundle brings to this very target comes first, whatever it has for others.
    """
    for name in _bundles(run, target):
        packager = load_packager(name)
        chosen, left = (
            [each for each in verdicts if each.candidate.variant.runtime == target.parsed.runtime]
            for verdicts in parted(packager, verdicts_for(run, packager))
        )
        if chosen:
            return [*_own_first(run, packager, target, chosen), *left]
    return verdicts_on(run, target)


def _own_first(run: Run, packager: Packager, target: TargetPlan, shipped: Sequence[Verdict]) -> list[Verdict]:
    precision = next(iter(read_measured(run)[target.target]))
    group = packager.group_of(measured_on(run, target, precision)) or ""
    own = [replace(each, reason=each.groups[group]) for each in shipped if group in each.groups]
    return [*own, *(each for each in shipped if group not in each.groups)]


def _blocks(run: Run) -> tuple[BlockReport, ...]:
    goals = run.goals
    return tuple(
        BlockReport(
            name=node.name,
            op=str(node.op),
            label=node.op.label,
            macs=node.op.macs,
            params=node.op.params,
            latency_ms={str(goal.target): goal.table.op_ms(node.op) for goal in goals},
        )
        for node in run.architecture().graph().named
    )


def _search(run: Run, result: SearchResult) -> tuple[SearchEpoch, ...]:
    lines = read_metrics(run.folder, metrics_of(run, result.seed))
    path = run.folder / "metrics.jsonl"
    return tuple(check(line, SearchEpoch, path=path, kind="line of metrics") for line in lines)


def _inputs(run: Run) -> Sequence[object]:
    folder = run.folder
    files = [folder / "measured" / "measured.json", folder / "train" / "result.json", folder / "metrics.jsonl"]
    files += [run.search_result_path, *((folder / "baseline" / "result.json",) if run.plan.baseline else ())]
    tables = [run.table_path(target) for target in run.plan.targets]
    files.append(folder / "artifacts" / "exports.json")
    targets = [[target.target, target.budget] for target in run.plan.targets]
    asked = [list(run.plan.bundles), list(run.plan.precisions), run.plan.max_accuracy_drop]
    return [run.plan.name, version("millis"), targets, asked, run.architecture_path, *files, *tables]


def _outputs(run: Run) -> Sequence[Path]:
    return [run.folder / "report.json", run.folder / "report.html"]


def _perform(run: Run) -> None:
    write_report(build_report(run), run.folder)


REPORT = Stage(name="report", inputs=_inputs, outputs=_outputs, perform=_perform)
