"""Text files as tokens: characters or words, split into training, validation and test from front to back."""

from __future__ import annotations

import gzip
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipeline.recurrent.settings import Level
from profilers.errors import FileError

UNKNOWN = "<unk>"  # stands for what the training part does not hold
END_OF_LINE = "<eos>"
# Shares of the text, from its front, that end training and validation; the rest is the test.
TRAIN_UNTIL, VALIDATION_UNTIL = 0.90, 0.95
MOST_WORDS = 10_000  # kept of the training part, the most frequent ones, as in the Penn Treebank


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens in the order of their numbers; number 0 is UNKNOWN."""

    level: Level
    tokens: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @staticmethod
    def of(pieces: Sequence[str], level: Level) -> Vocabulary:
        """The most frequent first, ties in the order of the alphabet."""
        counts = Counter(pieces)
        counts.pop(UNKNOWN, None)
        ranked = sorted(counts, key=lambda piece: (-counts[piece], piece))
        return Vocabulary(level, (UNKNOWN, *ranked[: MOST_WORDS - 1]))

    def numbers(self, text: str) -> list[int]:
        """The numbers of a text's tokens; 0 for those that are not known."""
        places = {token: place for place, token in enumerate(self.tokens)}
        return [places.get(piece, 0) for piece in pieces_of(text, self.level)]

    def text(self, numbers: Sequence[int]) -> str:
        if self.level == "char":
            return "".join("\N{REPLACEMENT CHARACTER}" if n == 0 else self.tokens[n] for n in numbers)
        return re.sub(f" ?{END_OF_LINE} ?", "\n", " ".join(self.tokens[n] for n in numbers))


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """A text as numbers, int64 [N] each."""

    name: str
    vocabulary: Vocabulary
    train: Tensor
    validation: Tensor
    test: Tensor


def pieces_of(text: str, level: Level) -> list[str]:
    """Characters; or words between spaces, with END_OF_LINE where a line ends."""
    if level == "char":
        return list(text)
    first, *others = text.split("\n")
    return [*first.split(), *(piece for line in others for piece in (END_OF_LINE, *line.split()))]


def read_text(path: Path) -> str:
    """The text of a file, unpacked where its name ends in .gz; raises FileError."""
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except FileNotFoundError:
        raise FileError(f"{path}: no such text file") from None
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise FileError(f"{path}: not a readable text in UTF-8: {error}") from None


def load_corpus(path: Path, level: Level) -> Corpus:
    """Split a text and number its tokens, whose vocabulary is that of the training part. Raises FileError."""
    pieces = pieces_of(read_text(path), level)
    ends = [int(share * len(pieces)) for share in (TRAIN_UNTIL, VALIDATION_UNTIL)]
    parts = pieces[: ends[0]], pieces[ends[0] : ends[1]], pieces[ends[1] :]
    if min(map(len, parts)) < 2:
        raise FileError(f"{path}: too short to be split: {len(pieces)} tokens of level {level}; give at least 40")
    vocabulary = Vocabulary.of(parts[0], level)
    places = {token: place for place, token in enumerate(vocabulary.tokens)}
    train, validation, test = (torch.tensor([places.get(piece, 0) for piece in part]) for part in parts)
    return Corpus(path.name, vocabulary, train, validation, test)
