"""Stage `search` of a language run: a distribution over cells; of several seeds, that of the best cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.derivation import require_feasible
from pipeline.metrics import Metrics, search_metrics
from pipeline.recurrent.plan import LanguageRun
from pipeline.recurrent.report import JudgedCell, JudgedSeeds
from pipeline.search_task import SearchResult, per_seed
from pipeline.stage import Stage
from profilers.files import read_json, write_json

if TYPE_CHECKING:
    from pipeline.recurrent.search import CellSearchEpoch, CellSearchTask

SCHEMA = 1  # of seeds.json. 1: the cell of each seed as it was judged


def search_inputs(run: LanguageRun) -> Sequence[object]:
    """What a search is made from; with several seeds or random cells beside it also how cells are trained."""
    plan = run.plan
    budgets = [[target.target, target.budget] for target in plan.targets]
    tables = [run.table_path(target) for target in plan.targets]
    given = [run.space.name, Path(plan.text), plan.level, plan.seed, asdict(plan.search), budgets, *tables]
    return [*given, asdict(plan.train)] if plan.search.seeds > 1 else given


def _outputs(run: LanguageRun) -> Sequence[Path]:
    return [run.search_result_path]


def _perform(run: LanguageRun) -> None:
    require_feasible(run.space, run.goals)  # before the costly part: budgets that nothing meets end here
    tasks = per_seed(run.search_task())
    results = [_searched(run, task) for task in tasks]
    best = results[0] if len(results) == 1 else _best(run, tasks, results)
    best.save(run.search_result_path)


def _searched(run: LanguageRun, task: CellSearchTask) -> SearchResult:
    from pipeline.recurrent.search import CellSearch

    epochs, seeds = task.settings.epochs, task.settings.seeds
    part = "search" if seeds == 1 else f"search (seed {task.seed})"
    with Metrics(run.folder, search_metrics(seeds, task.seed), anew=not task.path.exists()) as metrics:

        def on_epoch(epoch: CellSearchEpoch) -> None:
            metrics.tell(epoch.epoch, asdict(epoch))
            run.watch.note(
                f"{part}: epoch {epoch.epoch} of {epochs}, {epoch.train_loss:.3f} nats a token, validation "
                f"{epoch.validation_loss:.3f}; {epoch.genotype}"
            )

        return CellSearch.begin(task).run(on_epoch, partial(run.watch.progress, part))


def _best(run: LanguageRun, tasks: Sequence[CellSearchTask], results: Sequence[SearchResult]) -> SearchResult:
    """The result whose cell makes the best model of the validation text, each trained as long from scratch."""
    from pipeline.recurrent.judging import judge

    judged = {}
    for task, result in zip(tasks, results, strict=True):
        judged[task.seed] = judge(
            run,
            result.derive(run.space, run.goals),
            epochs=task.settings.judge_epochs,
            checkpoint=task.folder / "judged.checkpoint.safetensors",
            part=f"judging seed {task.seed}",
        )
    write_json(_seeds_path(run), {"schema": SCHEMA, **asdict(JudgedSeeds(seeds=judged))})
    best = min(judged, key=lambda seed: judged[seed].validation_loss)
    return next(result for result in results if result.seed == best)


def _seeds_path(run: LanguageRun) -> Path:
    return run.folder / "search" / "seeds.json"


def read_seeds(run: LanguageRun) -> Mapping[int, JudgedCell]:
    """The cells of the seeds that the search is the best of; none where it has but one."""
    if not _seeds_path(run).exists():
        return {}
    return read_json(_seeds_path(run), JudgedSeeds, kind="record of seeds", schema=SCHEMA).seeds


SEARCH = Stage(name="search", inputs=search_inputs, work="search", outputs=_outputs, perform=_perform)
