from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.recurrent.averaging import averaged, begin_averaging, is_time_to_average
from pipeline.recurrent.cell import DartsCell, LstmCell
from pipeline.recurrent.genotype import PUBLISHED
from pipeline.recurrent.language_model import LanguageModel
from pipeline.recurrent.settings import CellTrainSettings, Dropout, Regime
from pipeline.recurrent.text import Corpus
from pipeline.recurrent.training import CellTraining
from pipeline.training import TrainingError
from profilers.errors import FileError


def begun(corpus: Corpus, settings: CellTrainSettings, path: Path, cell: str = "lstm", seed: int = 0) -> CellTraining:
    torch.manual_seed(0)
    made = LstmCell(8) if cell == "lstm" else DartsCell(PUBLISHED[cell], 8)
    return CellTraining.begin(LanguageModel(len(corpus.vocabulary), made), corpus, settings, seed=seed, path=path)


@pytest.mark.parametrize("cell", ["lstm", "darts-rnn-v1"])
def test_a_training_that_was_killed_goes_on_to_the_same_bits(
    cell: str, corpus: Corpus, train_settings: CellTrainSettings, tmp_path: Path
) -> None:
    straight = begun(corpus, train_settings, tmp_path / "straight.safetensors", cell)
    straight.run(steps=34)
    for steps in (7, 19):
        begun(corpus, train_settings, tmp_path / "resumed.safetensors", cell).run(steps=steps)
    resumed = begun(corpus, train_settings, tmp_path / "resumed.safetensors", cell)
    resumed.run(steps=34)
    assert all(a.equal(b) for a, b in zip(straight.model.parameters(), resumed.model.parameters(), strict=True))
    assert [replace(e, seconds=0) for e in resumed.evaluations] == [replace(e, seconds=0) for e in straight.evaluations]
    assert all(tensor.equal(straight.best[name]) for name, tensor in resumed.best.items())


def test_weights_are_averaged_once_validation_stalls(corpus: Corpus, tmp_path: Path) -> None:
    settings = CellTrainSettings(
        regime=Regime(batch_size=4, bptt=10, learning_rate=100.0), evaluate_every=2, patience=0
    )
    training = begun(corpus, settings, tmp_path / "c.safetensors")
    training.run(steps=60)
    assert training.evaluations[-1].averaging
    assert not training.evaluations[0].averaging


@pytest.mark.parametrize(
    ("losses", "patience", "expected"),
    [
        ([3.0, 2.0, 1.0], 0, False),
        ([3.0, 2.0, 2.5], 0, True),
        ([3.0, 2.0, 2.5], 1, False),
        ([2.0, 3.0, 2.5], 1, True),
        ([2.0, 1.0, 1.5, 1.4, 1.3, 1.2, 1.1], 5, False),
        ([1.0, 2.0, 1.5, 1.4, 1.3, 1.2, 1.1], 5, True),
    ],
)
def test_the_trigger_forgives_as_many_evaluations_as_it_is_patient(
    losses: list[float], patience: int, expected: bool
) -> None:
    assert is_time_to_average(losses, patience) is expected


def test_averages_are_those_of_all_steps_but_the_first_and_leave_the_weights() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = begin_averaging([weight], Regime(learning_rate=1.0, weight_decay=0.0))
    for gradient in (1.0, 2.0, 3.0):
        weight.grad = torch.tensor([gradient])
        optimizer.step()
    with averaged(optimizer):
        assert weight.item() == pytest.approx((-3 - 6) / 2)
    assert weight.item() == -6


def test_training_stops_by_its_own_clock(corpus: Corpus, train_settings: CellTrainSettings, tmp_path: Path) -> None:
    training = begun(corpus, train_settings, tmp_path / "c.safetensors")
    ticks = iter(range(1000))
    training.run(seconds=3, clock=lambda: float(next(ticks)))
    assert 1 <= training.step <= 3


def test_a_text_is_learnt(corpus: Corpus, tmp_path: Path) -> None:
    settings = CellTrainSettings(
        regime=Regime(batch_size=4, bptt=10, dropout=Dropout(), gradient_norm=1.0, learning_rate=2.0), evaluate_every=50
    )
    training = begun(corpus, settings, tmp_path / "c.safetensors")
    training.run(steps=250)
    assert training.best_evaluation().validation_loss < 1.2 < training.evaluations[0].train_loss


def test_a_last_evaluation_is_not_kept(corpus: Corpus, train_settings: CellTrainSettings, tmp_path: Path) -> None:
    training = begun(corpus, train_settings, tmp_path / "c.safetensors")
    training.run(steps=3)
    assert training.best_evaluation().step == 3
    assert begun(corpus, train_settings, tmp_path / "c.safetensors").evaluations == []


def test_a_loss_that_is_no_number_is_an_error(
    corpus: Corpus, train_settings: CellTrainSettings, tmp_path: Path
) -> None:
    training = begun(corpus, train_settings, tmp_path / "c.safetensors")
    with torch.no_grad():
        training.model.bias.fill_(torch.inf)
    with pytest.raises(TrainingError, match="step 1: the gradient is not finite"):
        training.run(steps=2)


def test_a_checkpoint_of_another_training_is_refused(
    corpus: Corpus, train_settings: CellTrainSettings, tmp_path: Path
) -> None:
    begun(corpus, train_settings, tmp_path / "c.safetensors").run(steps=1)
    with pytest.raises(FileError, match="other cell"):
        begun(corpus, train_settings, tmp_path / "c.safetensors", "darts-rnn-v1")
    with pytest.raises(FileError, match="other seed"):
        begun(corpus, train_settings, tmp_path / "c.safetensors", seed=1)
