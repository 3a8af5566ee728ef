"""Stage `train` of a language run: models around the searched cell and those beside it, each tested once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.recurrent.models import record_path, train, weights_path
from pipeline.recurrent.plan import LanguageRun
from pipeline.recurrent.training import Evaluation
from pipeline.stage import Stage


def _inputs(run: LanguageRun) -> Sequence[object]:
    plan = run.plan
    given = [Path(plan.text), plan.level, plan.hidden, plan.seed, asdict(plan.train), list(plan.cells)]
    return [run.architecture_path, *given]


def _outputs(run: LanguageRun) -> Sequence[Path]:
    return [path for cell in run.plan.cells for path in (weights_path(run, cell), record_path(run, cell))]


def _perform(run: LanguageRun) -> None:
    for cell in run.plan.cells:

        def on_evaluation(evaluation: Evaluation, cell: str = cell) -> None:
            run.watch.note(evaluation.told_of(cell))

        train(run, cell, epochs=run.plan.train.epochs, on_evaluation=on_evaluation)


TRAIN = Stage(name="train", inputs=_inputs, work="models", outputs=_outputs, perform=_perform)
