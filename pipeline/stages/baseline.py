"""Stage `baseline`: random networks at the cost of the search, and the best of them beside the network that was found.

Both are trained for as long from scratch, and judged by the architecture split; the test split plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from pipeline.architecture import Architecture
from pipeline.metrics import Metrics
from pipeline.report import Baseline, Rival
from pipeline.run import Run
from pipeline.search_task import SearchEpoch, SearchTask
from pipeline.stage import Stage
from pipeline.stages.search import search_inputs
from profilers.files import read_json, write_json

SCHEMA = 1  # 1: both networks with accuracy and predicted latency


def baseline_beside(run: Run) -> Baseline | None:
    """The baseline of the network that the run has derived; None where there is none."""
    if not _path(run).exists():
        return None
    baseline = read_json(_path(run), Baseline, kind="baseline", schema=SCHEMA)
    return baseline if baseline.found.choices == run.architecture().kept else None


def _path(run: Run) -> Path:
    return run.folder / "baseline" / "result.json"


def _inputs(run: Run) -> Sequence[object]:
    return [*search_inputs(run), run.architecture_path]


def _outputs(run: Run) -> Sequence[Path]:
    return [_path(run)]


def _perform(run: Run) -> None:
    from pipeline.strategies.random_search import STRATEGY, epochs_each
    from pipeline.trial import try_out

    task = replace(run.search_task(), folder=run.folder / "baseline")
    planned = STRATEGY.planned_epochs(task)
    with Metrics(run.folder, "baseline", anew=not task.folder.exists()) as metrics:

        def on_epoch(epoch: SearchEpoch) -> None:
            metrics.tell(epoch.epoch, asdict(epoch))
            run.watch.progress("baseline (random)", epoch.epoch, planned)

        result = STRATEGY.search(task, on_epoch)
    best = max(result.tried, key=lambda network: network.accuracy)
    epochs = epochs_each(task)
    found = try_out(
        task,
        run.architecture(),
        epochs=epochs,
        seed=task.seed,
        checkpoint=task.folder / "found.checkpoint.safetensors",
        on_epoch=lambda epoch: run.watch.progress("baseline (found)", epoch.epoch, epochs),
    )
    baseline = Baseline(
        epochs=epochs,
        networks=len(result.tried),
        found=_rival(task, run.architecture(), found.accuracy),
        random=_rival(task, Architecture.from_labels(run.space, best.choices), best.accuracy),
    )
    write_json(_path(run), {"schema": SCHEMA, **asdict(baseline)})


def _rival(task: SearchTask, architecture: Architecture, accuracy: float) -> Rival:
    ops = architecture.ops()
    return Rival(
        choices=architecture.kept,
        accuracy=accuracy,
        predicted_ms={str(goal.target): goal.table.network_ms(ops) for goal in task.goals},
        params=architecture.params,
        macs=architecture.macs,
    )


BASELINE = Stage(name="baseline", inputs=_inputs, work="baseline", outputs=_outputs, perform=_perform)
