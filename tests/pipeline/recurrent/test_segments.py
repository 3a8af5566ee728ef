from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recurrent.segments import (
    Segment,
    TextTooShortError,
    cut,
    equal_segments,
    segments,
    side_by_side,
)


def test_each_column_goes_on_where_the_one_before_it_ended() -> None:
    assert side_by_side(torch.arange(7), 3).tolist() == [[0, 2, 4], [1, 3, 5]]


def test_targets_are_one_step_later() -> None:
    inputs, targets = cut(side_by_side(torch.arange(8), 2), Segment(1, 2))
    assert inputs.tolist() == [[1, 5], [2, 6]]
    assert targets.tolist() == [[2, 6], [3, 7]]


@given(st.integers(2, 500), st.integers(5, 70), st.integers(0, 5), st.integers(0, 5))
def test_segments_cover_every_step_once(rows: int, usual: int, seed: int, epoch: int) -> None:
    for plan in (segments(rows, usual, seed, epoch), equal_segments(rows, usual)):
        steps = [step for each in plan for step in range(each.start, each.start + each.length)]
        assert steps == list(range(rows - 1))


def test_lengths_scatter_around_the_usual_one() -> None:
    lengths = torch.tensor([each.length for each in segments(100_000, 35, 0, 0)[:-1]]).float()
    assert 33 < lengths.mean() < 36
    assert 0.02 < (lengths < 24).float().mean() < 0.08
    assert lengths.min() >= 5 and lengths.max() <= 55


def test_every_epoch_is_cut_in_its_own_way() -> None:
    assert segments(1000, 35, 0, 0) == segments(1000, 35, 0, 0)
    assert segments(1000, 35, 0, 0) != segments(1000, 35, 0, 1)


def test_a_text_that_does_not_fill_its_batch_is_an_error() -> None:
    with pytest.raises(TextTooShortError, match="smaller batch"):
        side_by_side(torch.arange(7), 4)
