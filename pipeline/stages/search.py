"""Stage `search`: a distribution over architectures, or networks that were tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.derivation import require_feasible
from pipeline.metrics import Metrics
from pipeline.run import Run
from pipeline.search_task import SearchEpoch
from pipeline.stage import Stage
from pipeline.strategies import load_strategy


def _inputs(run: Run) -> Sequence[object]:
    budgets = [[target.target, target.budget] for target in run.plan.targets]
    tables = [run.table_path(target) for target in run.plan.targets]
    return [run.space.name, run.plan.data, run.plan.seed, asdict(run.plan.search), budgets, *tables]


def _outputs(run: Run) -> Sequence[Path]:
    return [run.search_result_path]


def _perform(run: Run) -> None:
    require_feasible(run.space, run.goals)  # before the costly part: budgets that nothing meets end here
    settings = run.plan.search
    strategy = load_strategy(settings.strategy)
    planned = strategy.planned_epochs(settings)
    anew = not (run.folder / "search").exists()
    with Metrics(run.folder, "search", anew=anew) as metrics:

        def on_epoch(epoch: SearchEpoch) -> None:
            metrics.tell(epoch.epoch, asdict(epoch))
            run.watch.progress(f"search ({settings.strategy})", epoch.epoch, planned)

        result = strategy.search(run.search_task(), on_epoch)
    result.save(run.search_result_path)


SEARCH = Stage(name="search", inputs=_inputs, work="search", outputs=_outputs, perform=_perform)
