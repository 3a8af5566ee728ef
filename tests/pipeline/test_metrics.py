from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.metrics import Metrics, read_metrics
from profilers.errors import FileError


def tell(run: Path, *epochs: tuple[int, float], stage: str = "search", anew: bool = False) -> None:
    with Metrics(run, stage, anew=anew) as metrics:
        for epoch, loss in epochs:
            metrics.tell(epoch, {"epoch": epoch, "loss": loss, "expected_ms": {"local:litert": 2 * loss}})


def losses(run: Path, stage: str = "search") -> dict[int, float]:
    return {line["epoch"]: line["loss"] for line in read_metrics(run, stage)}


def test_what_was_told_is_read_back_without_the_name_of_the_stage(tmp_path: Path) -> None:
    tell(tmp_path, (1, 0.5), anew=True)
    assert read_metrics(tmp_path, "search") == [{"epoch": 1, "loss": 0.5, "expected_ms": {"local:litert": 1.0}}]


def test_a_run_that_told_nothing_has_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(tmp_path, "search") == []


def test_each_stage_has_its_own_epochs(tmp_path: Path) -> None:
    tell(tmp_path, (1, 0.5), (2, 0.4), anew=True)
    tell(tmp_path, (1, 0.3), stage="train", anew=True)
    assert losses(tmp_path) == {1: 0.5, 2: 0.4}
    assert losses(tmp_path, "train") == {1: 0.3}


def test_a_stage_that_begins_anew_forgets_what_it_told_before_and_no_other(tmp_path: Path) -> None:
    tell(tmp_path, (1, 0.9), stage="train", anew=True)
    tell(tmp_path, (1, 0.5), (2, 0.4), anew=True)
    tell(tmp_path, (1, 0.6), anew=True)
    assert losses(tmp_path) == {1: 0.6}
    assert losses(tmp_path, "train") == {1: 0.9}


def test_an_epoch_told_twice_counts_once_and_the_last_time(tmp_path: Path) -> None:
    tell(tmp_path, (1, 0.5), (2, 0.4), anew=True)
    tell(tmp_path, (2, 0.45), (3, 0.3))
    assert losses(tmp_path) == {1: 0.5, 2: 0.45, 3: 0.3}


@pytest.mark.parametrize("torn", ['{"stage": "search", "epo', "{", '{"stage": "search"}'])
def test_a_line_torn_by_a_kill_is_left_out_and_taken_off_before_the_next(torn: str, tmp_path: Path) -> None:
    tell(tmp_path, (1, 0.5), anew=True)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(torn)
    assert losses(tmp_path) == {1: 0.5}
    tell(tmp_path, (2, 0.4))
    assert losses(tmp_path) == {1: 0.5, 2: 0.4}


@pytest.mark.parametrize("line", ["nonsense", "[]", "{}", '{"stage": "search", "loss": 1}'])
def test_a_damaged_line_in_the_middle_is_told_with_its_number(line: str, tmp_path: Path) -> None:
    tell(tmp_path, (1, 0.5), anew=True)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    tell(tmp_path, (2, 0.4))
    with pytest.raises(FileError, match=r"metrics\.jsonl:3: not a line of metrics"):
        read_metrics(tmp_path, "search")


def test_tensorboard_finds_the_same_numbers(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

    tell(tmp_path, (1, 0.9), anew=True)
    tell(tmp_path, (1, 0.5), (2, 0.25), anew=True)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "search"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("search/loss")] == [(1, 0.5), (2, 0.25)]
    assert [event.value for event in events.Scalars("search/expected_ms/local:litert")] == [1.0, 0.5]
