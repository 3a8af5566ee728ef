"""Stage `report` of a language run: report.json and report.html."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from pipeline.budget import Reach
from pipeline.metrics import read_metrics, search_metrics
from pipeline.plan import TargetPlan
from pipeline.recurrent.measuring import FILE
from pipeline.recurrent.models import read_record, record_path
from pipeline.recurrent.plan import SEARCHED, LanguageRun
from pipeline.recurrent.report import LanguageReport, StepReport, write_report
from pipeline.recurrent.search import CellSearchEpoch
from pipeline.recurrent.space import genotype_of
from pipeline.recurrent.stages.baseline import baseline_beside
from pipeline.recurrent.stages.export import read_step_files
from pipeline.recurrent.stages.measure import read_steps
from pipeline.recurrent.stages.search import read_seeds
from pipeline.report import CalibrationPoint
from pipeline.search_task import SearchResult
from pipeline.stage import Stage, seconds_taken
from profilers.files import check


def build_report(run: LanguageRun) -> LanguageReport:
    """Everything that the stages of a run found, in one value."""
    plan, corpus, architecture = run.plan, run.corpus, run.architecture()
    stages = {name: seconds for name, seconds in seconds_taken(run).items() if name != "report"}
    return LanguageReport(
        millis_version=version("millis"),
        name=plan.name,
        text=corpus.name,
        level=plan.level,
        vocabulary=len(corpus.vocabulary),
        tokens={"train": len(corpus.train), "validation": len(corpus.validation), "test": len(corpus.test)},
        space=run.space.name,
        order=plan.search.order,
        seed=plan.seed,
        genotype=str(genotype_of(run.space, architecture.choices)),
        params=architecture.params,
        macs=architecture.macs,
        wall_s=sum(stages.values()),
        stages=stages,
        models=tuple(read_record(run, cell) for cell in plan.cells),
        files=read_step_files(run),
        targets=tuple(_target(run, target) for target in plan.targets),
        search=_search(run),
        seeds=read_seeds(run),
        baseline=baseline_beside(run) if plan.baseline else None,
    )


def _target(run: LanguageRun, target: TargetPlan) -> StepReport:
    goal = run.goals[run.plan.targets.index(target)]
    reach = Reach.of(run.space, goal.table)
    here = {step.cell: step for step in read_steps(run) if step.target == str(goal.target)}
    own = here[SEARCHED]
    return StepReport(
        target=str(goal.target),
        budget=target.budget,
        budget_ms=goal.budget_ms,
        fastest_ms=reach.fastest_ms,
        slowest_ms=reach.slowest_ms,
        predicted_ms=goal.table.network_ms(run.architecture().ops()),
        measured_ms=own.measured_ms,
        p90_ms=own.p90_ms,
        spread=own.spread,
        samples=own.samples,
        exported=here[FILE],
        beside_ms={cell: step.measured_ms for cell, step in here.items() if cell not in {SEARCHED, FILE}},
        device=own.device,
        calibration=CalibrationPoint.all_of(goal.table),
    )


def _search(run: LanguageRun) -> tuple[CellSearchEpoch, ...]:
    seed = SearchResult.load(run.search_result_path).seed
    lines = read_metrics(run.folder, search_metrics(run.plan.search.seeds, seed))
    path = run.folder / "metrics.jsonl"
    return tuple(check(line, CellSearchEpoch, path=path, kind="line of metrics") for line in lines)


def _inputs(run: LanguageRun) -> Sequence[object]:
    folder, plan = run.folder, run.plan
    files = [folder / "measurements" / "measured.json", folder / "metrics.jsonl", run.search_result_path]
    files += [folder / "baseline" / "result.json"] if plan.baseline else []
    records = [record_path(run, cell) for cell in plan.cells]
    targets = [[target.target, target.budget] for target in plan.targets]
    tables = [run.table_path(target) for target in plan.targets]
    return [plan.name, plan.text, version("millis"), targets, run.architecture_path, *files, *records, *tables]


def _outputs(run: LanguageRun) -> Sequence[Path]:
    return [run.folder / "report.json", run.folder / "report.html"]


def _perform(run: LanguageRun) -> None:
    write_report(build_report(run), run.folder)


REPORT = Stage(name="report", inputs=_inputs, outputs=_outputs, perform=_perform)
