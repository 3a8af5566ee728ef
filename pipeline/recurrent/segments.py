"""Texts side by side, and the random lengths to which back-propagation through time is cut (arXiv:1708.02182, 5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from pipeline.data.seeding import generator
from profilers.errors import MillisError

SHORTEST = 5
SPREAD = 5.0  # standard deviation of a segment's length
SHORTER = 20  # the longest is the usual length and this
HALF_SHARE = 0.05  # of the segments are meant to be half as long


class TextTooShortError(MillisError):
    """A part of a text that does not fill its batch."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Steps `start` to `start + length` of a text, and the same one later as targets."""

    start: int
    length: int


def side_by_side(tokens: Tensor, batch: int) -> Tensor:
    """[N] -> [T, batch]: each column goes on where the one before it ended; what does not fill a row is left out."""
    rows = len(tokens) // batch
    if rows < 2:
        raise TextTooShortError(
            f"{len(tokens)} tokens do not fill two steps of a batch of {batch}: give a longer text or a smaller batch"
        )
    return tokens[: rows * batch].view(batch, rows).t().contiguous()


@lru_cache(maxsize=4)
def segments(rows: int, usual: int, seed: int, epoch: int) -> tuple[Segment, ...]:
    """One pass over `rows` steps in segments of random length: about `usual`, now and then half of that."""
    random = generator(seed, "segments", epoch)
    found = []
    start = 0
    while start < rows - 1:
        mean = usual / 2 if torch.rand((), generator=random) < HALF_SHARE else usual
        drawn = int(torch.normal(float(mean), SPREAD, (), generator=random))
        length = min(max(SHORTEST, min(drawn, usual + SHORTER)), rows - 1 - start)
        found.append(Segment(start, length))
        start += length
    return tuple(found)


def equal_segments(rows: int, length: int) -> tuple[Segment, ...]:
    """One pass over `rows` steps in segments of one length, as evaluation does."""
    return tuple(Segment(start, min(length, rows - 1 - start)) for start in range(0, rows - 1, length))


def cut(text: Tensor, segment: Segment) -> tuple[Tensor, Tensor]:
    """Inputs and targets [length, B] of a text [T, B]."""
    end = segment.start + segment.length
    return text[segment.start : end], text[segment.start + 1 : end + 1]
