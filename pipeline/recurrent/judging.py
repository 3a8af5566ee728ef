"""Cells judged as DARTS judges them: by the validation text, each in a model that learns for as long from scratch."""

from __future__ import annotations

from pathlib import Path

from pipeline.architecture import Architecture
from pipeline.recurrent.edges import edge_count
from pipeline.recurrent.models import new_model
from pipeline.recurrent.plan import LanguageRun
from pipeline.recurrent.report import JudgedCell
from pipeline.recurrent.settings import CellSearchSettings
from pipeline.recurrent.space import RecurrentWiring, genotype_of
from pipeline.recurrent.training import CellTraining, Evaluation


def judge(run: LanguageRun, architecture: Architecture, *, epochs: int, checkpoint: Path, part: str) -> JudgedCell:
    """Train a model around the cell, and tell the watcher of it as `part`; goes on from its checkpoint."""
    genotype = str(genotype_of(architecture.space, architecture.choices))
    model = new_model(run, genotype)
    training = CellTraining.begin(model, run.corpus, run.plan.train, seed=run.plan.seed, path=checkpoint)

    def on_evaluation(evaluation: Evaluation) -> None:
        run.watch.note(evaluation.told_of(part))

    training.run(epochs=epochs, on_evaluation=on_evaluation)
    loss = training.best_evaluation().validation_loss
    run.watch.note(f"{part}: validation {loss:.3f} nats a token at best, after {training.step} steps")
    return JudgedCell(
        genotype=genotype,
        validation_loss=loss,
        steps=training.step,
        predicted_ms={str(goal.target): goal.table.network_ms(architecture.ops()) for goal in run.goals},
    )


def search_passes(settings: CellSearchSettings, wiring: RecurrentWiring) -> float:
    """What a search costs, in passes of the model around one cell over the training text, by multiply-accumulates.

    Every edge is computed, where a derived cell has one for each node. A step of second order takes four gradients
    instead of one.
    """
    around = 4 * wiring.hidden**2 + wiring.vocab * wiring.hidden
    edge = 2 * wiring.hidden**2
    times = (around + edge_count(wiring.nodes) * edge) / (around + wiring.nodes * edge)
    return settings.epochs * times * (1 + (4 if settings.order == 2 else 1))
