"""The models of a language run: the searched cell, published ones, and an LSTM of equal size."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil, exp, inf, log
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from pipeline.checkpoint import load_weights, save_weights
from pipeline.recurrent.cell import DartsCell, LstmCell, lstm_size
from pipeline.recurrent.genotype import count_params, genotype_named
from pipeline.recurrent.language_model import LanguageModel, evaluate
from pipeline.recurrent.plan import LSTM, SEARCHED, LanguageRun
from pipeline.recurrent.segments import side_by_side
from pipeline.recurrent.space import genotype_of
from pipeline.recurrent.training import EVALUATION_BATCH, CellTraining, Evaluation, OnEvaluation
from profilers.errors import FileError
from profilers.files import read_json, write_json

# Version of trained.json. 1: first version. 2: with its evaluations.
SCHEMA = 2
# Models that are compared take turns of this many seconds, so that what else the machine does meets them alike.
TURN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRecord:
    """A model as it was trained: losses of the best weights, nats a token; and of all evaluations on the way."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    cell: str
    genotype: str
    size: int
    params: int
    steps: int
    seconds: float
    validation_loss: float
    test_loss: float
    averaged: bool
    evaluations: tuple[Evaluation, ...]

    @property
    def told(self) -> dict[str, object]:
        """As people say it: perplexity, and bits a token."""
        losses = {"validation": self.validation_loss, "test": self.test_loss}
        figures = {f"{name}_{what}": of(loss) for name, loss in losses.items() for what, of in _FIGURES.items()}
        return {"cell": self.cell, "genotype": self.genotype, "size": self.size, "params": self.params} | {
            "steps": self.steps,
            "seconds": round(self.seconds, 1),
            "averaged": self.averaged,
            **{name: round(value, 4) for name, value in figures.items()},
        }


_FIGURES: dict[str, Callable[[float], float]] = {"perplexity": exp, "bits": lambda loss: loss / log(2)}


def new_model(run: LanguageRun, cell: str) -> LanguageModel:
    """`searched`, `lstm`, the name of a published cell or a genotype, with new weights; raises GenotypeError."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.plan.seed)
        return LanguageModel(len(run.corpus.vocabulary), _cell(run, cell))


def _cell(run: LanguageRun, cell: str) -> nn.Module:
    if cell == LSTM:
        vocab = len(run.corpus.vocabulary)
        return LstmCell(lstm_size(vocab, count_params(vocab, run.plan.hidden, 8)))
    if cell == SEARCHED:
        architecture = run.architecture()
        return DartsCell(genotype_of(architecture.space, architecture.choices), run.plan.hidden)
    return DartsCell(genotype_named(cell), run.plan.hidden)


def model_folder(run: LanguageRun, cell: str) -> Path:
    return run.folder / "models" / re.sub(r"[^A-Za-z0-9.]+", "-", cell)


def begin_training(run: LanguageRun, cell: str) -> CellTraining:
    """From where an earlier call stopped; raises FileError where what lies there is of another training."""
    path = model_folder(run, cell) / "checkpoint.safetensors"
    return CellTraining.begin(new_model(run, cell), run.corpus, run.plan.train, seed=run.plan.seed, path=path)


def train(
    run: LanguageRun,
    cell: str,
    *,
    steps: float = inf,
    epochs: float = inf,
    seconds: float = inf,
    on_evaluation: OnEvaluation = lambda _: None,
) -> TrainedRecord:
    """Train until so many steps, epochs or seconds; then test the best weights. Raises TrainingError, FileError."""
    training = begin_training(run, cell)
    training.run(steps=steps, epochs=epochs, seconds=seconds, on_evaluation=on_evaluation)
    return finish(run, cell, training)


def compare(
    run: LanguageRun, cells: list[str], seconds: float, on_evaluation: Callable[[str, Evaluation], None]
) -> list[TrainedRecord]:
    """Each model trained for so many seconds in all, in turns."""
    trainings = {cell: begin_training(run, cell) for cell in cells}
    for turn in range(1, ceil(seconds / TURN_S) + 1):
        for cell, training in trainings.items():
            training.run(seconds=min(turn * TURN_S, seconds), on_evaluation=_telling(cell, on_evaluation))
    return [finish(run, cell, training) for cell, training in trainings.items()]


def _telling(cell: str, on_evaluation: Callable[[str, Evaluation], None]) -> OnEvaluation:
    return lambda evaluation: on_evaluation(cell, evaluation)


def finish(run: LanguageRun, cell: str, training: CellTraining) -> TrainedRecord:
    """Keep the best weights, and test them."""
    model = training.model
    best = training.best_evaluation()
    model.load_state_dict(training.best)
    record = TrainedRecord(
        cell=cell,
        genotype=str(getattr(model.cell, "genotype", "")),
        size=model.recurrent.size,
        params=sum(each.numel() for each in model.parameters()),
        steps=training.step,
        seconds=training.seconds,
        validation_loss=best.validation_loss,
        test_loss=evaluate(model, side_by_side(run.corpus.test, EVALUATION_BATCH)),
        averaged=best.averaging,
        evaluations=tuple(training.evaluations),
    )
    save_weights(weights_path(run, cell), model)
    write_json(record_path(run, cell), {"schema": SCHEMA, **asdict(record)})
    return record


def record_path(run: LanguageRun, cell: str) -> Path:
    return model_folder(run, cell) / "trained.json"


def weights_path(run: LanguageRun, cell: str) -> Path:
    return model_folder(run, cell) / "weights.safetensors"


def read_record(run: LanguageRun, cell: str) -> TrainedRecord:
    """What training the cell gave; raises FileError."""
    return read_json(record_path(run, cell), TrainedRecord, kind="record of a training", schema=SCHEMA)


def trained_model(run: LanguageRun, cell: str) -> LanguageModel:
    """The model with its best weights; raises FileError where it was not trained."""
    path = weights_path(run, cell)
    if not path.exists():
        raise FileError(f"{path}: no such weights; train them first: millis language train {run.folder} --cell {cell}")
    model = new_model(run, cell)
    load_weights(path, model)
    return model.eval()
