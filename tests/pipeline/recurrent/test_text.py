from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recurrent.text import MOST_WORDS, Corpus, Vocabulary, load_corpus, pieces_of
from profilers.errors import FileError


def test_a_text_is_split_from_front_to_back(corpus: Corpus) -> None:
    parts = corpus.train, corpus.validation, corpus.test
    assert [len(part) for part in parts] == [1036, 58, 58]
    whole = corpus.vocabulary.text([token for part in parts for token in part.tolist()])
    assert whole.startswith("the cat sat on the mat.\nthe dog") and len(whole) == 1152


def test_a_packed_text_is_the_same(text_file: Path, corpus: Corpus, tmp_path: Path) -> None:
    packed = tmp_path / "cats.txt.gz"
    packed.write_bytes(gzip.compress(text_file.read_bytes()))
    assert load_corpus(packed, "char").train.equal(corpus.train)


def test_what_the_training_part_does_not_hold_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "late.txt"
    path.write_text("ab" * 50 + "z")
    corpus = load_corpus(path, "char")
    assert corpus.vocabulary.tokens == ("<unk>", "a", "b")
    assert corpus.test[-1] == 0


def test_words_end_their_lines() -> None:
    assert pieces_of("a dog\nsat\n", "word") == ["a", "dog", "<eos>", "sat", "<eos>"]


LINES = st.lists(st.lists(st.text("abc<>", min_size=1), max_size=3).map(" ".join), min_size=1)


@given(LINES.map("\n".join))
def test_words_are_read_and_written_alike_line_by_line(text: str) -> None:
    pieces = pieces_of(text, "word")
    assert pieces.count("<eos>") == text.count("\n")
    vocabulary = Vocabulary.of(pieces, "word")
    assert vocabulary.text(vocabulary.numbers(text)) == text


def test_the_most_frequent_words_are_kept() -> None:
    vocabulary = Vocabulary.of([f"w{n}" for n in range(2 * MOST_WORDS)] + ["often"] * 2, "word")
    assert len(vocabulary) == MOST_WORDS
    assert vocabulary.tokens[1] == "often"


@given(st.text(min_size=1))
def test_characters_come_back_as_they_were(text: str) -> None:
    vocabulary = Vocabulary.of(list(text), "char")
    assert vocabulary.text(vocabulary.numbers(text)) == text


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("none.txt", None, "no such text file"),
        ("short.txt", b"ab", "too short"),
        ("latin.txt", "hé".encode("latin-1") * 30, "UTF-8"),
        ("broken.gz", b"not packed at all", "not a readable text"),
    ],
)
def test_a_text_that_cannot_be_read_is_an_error(name: str, content: bytes | None, problem: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=problem):
        load_corpus(tmp_path / name, "char")


def test_shakespeare_has_65_characters(require) -> None:  # type: ignore[no-untyped-def]
    corpus = load_corpus(require("shared-data") / "tinyshakespeare.txt.gz", "char")
    assert len(corpus.train) + len(corpus.validation) + len(corpus.test) == 1_115_394
    assert len(corpus.vocabulary) == 1 + 65
