"""Stage `search`: a distribution over architectures, or networks that were tried; of several seeds, the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.collapse import DOMINANT, told_of
from pipeline.derivation import require_feasible
from pipeline.metrics import Metrics, search_metrics
from pipeline.run import Run
from pipeline.search_task import Judged, SearchEpoch, SearchResult, SearchTask, per_seed
from pipeline.stage import Stage
from pipeline.strategies import load_strategy


def metrics_of(run: Run, seed: int) -> str:
    """The name that the search of a seed has among the metrics of a run."""
    return search_metrics(run.plan.search.seeds, seed)


def searched_task(run: Run, result: SearchResult) -> SearchTask:
    """The task of the seed that a result is of."""
    return next(task for task in per_seed(run.search_task()) if task.seed == result.seed)


def search_inputs(run: Run) -> Sequence[object]:
    """What a search is made from."""
    budgets = [[target.target, target.budget] for target in run.plan.targets]
    tables = [run.table_path(target) for target in run.plan.targets]
    return [run.space.name, run.plan.data, run.plan.seed, asdict(run.plan.search), budgets, *tables]


def _outputs(run: Run) -> Sequence[Path]:
    return [run.search_result_path]


def _perform(run: Run) -> None:
    require_feasible(run.space, run.goals)  # before the costly part: budgets that nothing meets end here
    results = []
    for task in per_seed(run.search_task()):
        results.append(_search(run, task))
        if task.settings.seeds > 1:
            results[-1].save(task.folder / "result.json")
    best = results[0] if len(results) == 1 else _best(run, results)
    best.save(run.search_result_path)


def _search(run: Run, task: SearchTask) -> SearchResult:
    settings = task.settings
    strategy = load_strategy(settings.strategy)
    planned = strategy.planned_epochs(task)
    part = f"search ({settings.strategy}" + (f", seed {task.seed})" if settings.seeds > 1 else ")")
    collapsed = False
    with Metrics(run.folder, metrics_of(run, task.seed), anew=not task.folder.exists()) as metrics:

        def on_epoch(epoch: SearchEpoch) -> None:
            nonlocal collapsed
            metrics.tell(epoch.epoch, asdict(epoch))
            run.watch.progress(part, epoch.epoch, planned)
            dominates = epoch.phase == "search" and epoch.parameterless > DOMINANT
            if dominates and not collapsed:
                run.watch.note(f"{part}, epoch {epoch.epoch}: {told_of(epoch.parameterless)}")
            collapsed = dominates

        return strategy.search(task, on_epoch)


def _best(run: Run, results: Sequence[SearchResult]) -> SearchResult:
    """The result whose network is best on the architecture split, each trained as long from scratch."""
    judged = []
    for task, result in zip(per_seed(run.search_task()), results, strict=True):
        judged.append(_judged(run, task, result))
        run.watch.note(f"seed {task.seed}: {judged[-1].accuracy:.2%} on the architecture split")
    best = max(range(len(judged)), key=lambda number: judged[number].accuracy)
    return replace(results[best], seeds=tuple(judged))


def _judged(run: Run, task: SearchTask, result: SearchResult) -> Judged:
    from pipeline.trial import try_out

    network = result.derive(run.space, run.goals)
    epochs = task.settings.judge_epochs
    trained = try_out(
        task,
        network,
        epochs=epochs,
        seed=run.plan.seed,
        checkpoint=task.folder / "judged.checkpoint.safetensors",
        on_epoch=lambda epoch: run.watch.progress(f"judging seed {task.seed}", epoch.epoch, epochs),
    )
    return Judged(seed=task.seed, choices=network.labels, accuracy=trained.accuracy)


SEARCH = Stage(name="search", inputs=search_inputs, work="search", outputs=_outputs, perform=_perform)
