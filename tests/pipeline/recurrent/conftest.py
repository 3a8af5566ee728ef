"""A text of two sentences, said again and again, and what is made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.recurrent.settings import OF_TRAINING, CellSearchSettings, CellTrainSettings, Regime
from pipeline.recurrent.text import Corpus, load_corpus
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space

SENTENCES = "the cat sat on the mat.\nthe dog sat on the log.\n"
REGIME = Regime(batch_size=4, bptt=10, learning_rate=5.0, dropout=OF_TRAINING.scaled(0.2))


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "cats.txt"
    path.write_text(SENTENCES * 24)
    return path


@pytest.fixture(scope="session")
def corpus(text_file: Path) -> Corpus:
    return load_corpus(text_file, "char")


@pytest.fixture(scope="session")
def cells(corpus: Corpus) -> SearchSpace:
    """Three nodes, 384 cells."""
    return parse_space(f"darts-rnn?hidden=8&vocab={len(corpus.vocabulary)}&nodes=3")


@pytest.fixture(scope="session")
def search_settings() -> CellSearchSettings:
    return CellSearchSettings(epochs=1, regime=replace(REGIME, batch_size=8), alpha_learning_rate=0.05)


@pytest.fixture(scope="session")
def train_settings() -> CellTrainSettings:
    return CellTrainSettings(regime=REGIME, evaluate_every=5, patience=0)
