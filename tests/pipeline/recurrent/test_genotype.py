from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recurrent.cell import DartsCell, LstmCell, lstm_params, lstm_size
from pipeline.recurrent.genotype import (
    ACTIVATIONS,
    CellNode,
    Genotype,
    GenotypeError,
    count_params,
    genotype_named,
)
from pipeline.recurrent.language_model import LanguageModel
from pipeline.recurrent.search_cell import SearchCell


@st.composite
def genotypes(draw: st.DrawFn) -> Genotype:
    size = draw(st.integers(1, 12))
    nodes = [CellNode(draw(st.sampled_from(ACTIVATIONS)), draw(st.integers(0, i))) for i in range(size)]
    concat = draw(st.lists(st.integers(1, size), min_size=1, unique=True).map(sorted))
    return Genotype(tuple(nodes), tuple(concat))


@given(genotypes())
def test_a_genotype_reads_back(genotype: Genotype) -> None:
    assert Genotype.parse(str(genotype)) == genotype


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tanh<1", "node 1 reads 1"),
        ("sine<0", "not a node"),
        ("tanh<0 -> 2", "of which there are 1 to 1"),
        ("tanh<0 -> x", "not numbers"),
        ("", "the mean is of nodes"),
        ("darts-rnn-v3", "not a node"),
    ],
)
def test_no_such_cell(text: str, problem: str) -> None:
    with pytest.raises(GenotypeError, match=problem):
        genotype_named(text)


def params(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(
    ("cell", "vocab", "size", "golden"),
    [
        ("search", 10_000, 300, 4_810_000),
        ("darts-rnn-v1", 10_000, 850, 22_960_000),
        ("darts-rnn-v2", 10_000, 850, 22_960_000),
        ("darts-rnn-v2", 33_278, 700, 33_127_878),
        ("enas-rnn", 10_000, 850, 27_295_000),
    ],
)
def test_published_counts(cell: str, vocab: int, size: int, golden: int) -> None:
    with torch.device("meta"):
        made = SearchCell(size) if cell == "search" else DartsCell(genotype_named(cell), size)
        assert params(LanguageModel(vocab, made)) == golden
    nodes = 8 if cell == "search" else len(genotype_named(cell).nodes)
    assert count_params(vocab, size, nodes) == golden


@given(st.integers(2, 20_000), st.integers(16, 900))
def test_the_lstm_of_equal_size(vocab: int, size: int) -> None:
    wanted = count_params(vocab, size, 8)
    found = lstm_size(vocab, wanted)
    others = (abs(lstm_params(vocab, other) - wanted) for other in (found - 1, found + 1))
    assert abs(lstm_params(vocab, found) - wanted) <= min(others)


def test_the_lstm_is_counted_as_it_is() -> None:
    assert params(LanguageModel(65, LstmCell(20))) == lstm_params(65, 20)
