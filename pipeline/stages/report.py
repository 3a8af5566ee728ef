"""Stage `report`: report.json and report.html."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from deploy.manifest import Accuracy
from pipeline.budget import Reach
from pipeline.collapse import parameterless
from pipeline.metrics import read_metrics
from pipeline.plan import TargetPlan
from pipeline.report import BlockReport, CalibrationPoint, Report, TargetReport, write_report
from pipeline.run import Run
from pipeline.search_task import SearchEpoch, SearchResult
from pipeline.stage import Stage, seconds_taken
from pipeline.stages.baseline import baseline_beside
from pipeline.stages.export import read_exports
from pipeline.stages.measure import read_measured
from pipeline.stages.search import metrics_of
from pipeline.stages.train import read_train_record
from profilers.files import check


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
    exported = read_exports(run)[goal.target.runtime]
    found = read_measured(run)[target.target]
    return TargetReport(
        target=str(goal.target),
        runtime_version=found.environment["runtime_version"],
        budget=target.budget,
        budget_ms=goal.budget_ms,
        fastest_ms=reach.fastest_ms,
        slowest_ms=reach.slowest_ms,
        predicted_ms=goal.table.network_ms(run.architecture().ops()),
        measured_ms=found.measured_ms,
        p90_ms=found.latency.ms("p90"),
        spread=found.latency.spread,
        samples=found.latency.samples,
        size_bytes=exported.artifact.size_bytes,
        parity_max_abs_difference=exported.parity.max_abs_difference,
        parity_top1_agreement=exported.parity.top1_agreement,
        bundle=f"bundles/{target.bundle}" if target.bundle else "",
        device=found.environment,
        calibration=tuple(
            CalibrationPoint(predicted_ms=predicted_ms, measured_ms=network.measured_ms)
            for network, predicted_ms in zip(goal.table.networks, goal.table.calibration.left_out_ms, strict=True)
        ),
    )


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
    bundles = [[target.target, target.budget, target.bundle] for target in run.plan.targets]
    return [run.plan.name, version("millis"), bundles, run.architecture_path, *files, *tables]


def _outputs(run: Run) -> Sequence[Path]:
    return [run.folder / "report.json", run.folder / "report.html"]


def _perform(run: Run) -> None:
    write_report(build_report(run), run.folder)


REPORT = Stage(name="report", inputs=_inputs, outputs=_outputs, perform=_perform)
