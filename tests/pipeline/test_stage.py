from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.plan import Plan, TargetPlan
from pipeline.run import Run
from pipeline.stage import Stage, run_stage, seconds_taken
from profilers.errors import FileError

if TYPE_CHECKING:
    from tests.pipeline.conftest import Notes

PLAN = Plan(space="mbconv-8", data="digits", targets=(TargetPlan(target="local:onnxruntime", budget="40%"),))


class KilledError(Exception):
    """The process died here."""


@pytest.fixture
def run(tmp_path: Path, notes: Notes) -> Run:
    (tmp_path / "input").write_text("one")
    return Run(folder=tmp_path / "run", plan=PLAN, watch=notes)


def copying(performed: list[str], name: str = "copy", *, fail: bool = False) -> Stage[Run]:
    """Counts its performances in its work folder, and copies `input` to `output`."""

    def inputs(run: Run) -> Sequence[object]:
        return [run.plan.seed, run.folder.parent / "input"]

    def perform(run: Run) -> None:
        (run.folder / "work").mkdir(parents=True, exist_ok=True)
        with (run.folder / "work" / "progress").open("a") as file:
            file.write(".")
        performed.append((run.folder / "work" / "progress").read_text())
        if fail:
            raise KilledError
        (run.folder / "output").write_text((run.folder.parent / "input").read_text())

    return Stage(name=name, inputs=inputs, work="work", outputs=lambda run: [run.folder / "output"], perform=perform)


def test_a_stage_is_done_once(run: Run, notes: Notes) -> None:
    performed: list[str] = []
    for _ in range(3):
        run_stage(copying(performed), run)
    assert performed == ["."]
    assert notes.notes == ["copy: done before, skipped"] * 2


def test_a_stage_is_done_again_from_an_empty_folder_when_a_file_it_reads_changes(run: Run) -> None:
    performed: list[str] = []
    run_stage(copying(performed), run)
    (run.folder.parent / "input").write_text("two")
    run_stage(copying(performed), run)
    assert performed == [".", "."]
    assert (run.folder / "output").read_text() == "two"


def test_a_stage_is_done_again_when_a_value_it_depends_on_changes(run: Run) -> None:
    performed: list[str] = []
    run_stage(copying(performed), run)
    run_stage(copying(performed), replace(run, plan=replace(PLAN, seed=1)))
    assert performed == [".", "."]


def test_a_killed_stage_goes_on_from_what_it_left(run: Run) -> None:
    performed: list[str] = []
    with pytest.raises(KilledError):
        run_stage(copying(performed, fail=True), run)
    run_stage(copying(performed), run)
    run_stage(copying(performed), run)
    assert performed == [".", ".."]


def test_a_killed_stage_begins_anew_when_its_inputs_have_changed(run: Run) -> None:
    performed: list[str] = []
    with pytest.raises(KilledError):
        run_stage(copying(performed, fail=True), run)
    (run.folder.parent / "input").write_text("two")
    run_stage(copying(performed), run)
    assert performed == [".", "."]


def test_an_output_that_is_gone_is_made_again(run: Run) -> None:
    performed: list[str] = []
    run_stage(copying(performed), run)
    (run.folder / "output").unlink()
    run_stage(copying(performed), run)
    assert len(performed) == 2
    assert (run.folder / "output").read_text() == "one"


def test_the_output_of_other_inputs_is_taken_away_before_the_stage_begins(run: Run) -> None:
    run_stage(copying([]), run)
    (run.folder.parent / "input").write_text("two")
    with pytest.raises(KilledError):
        run_stage(copying([], fail=True), run)
    assert not (run.folder / "output").exists()


def test_what_a_stage_did_not_make_is_left_alone(run: Run) -> None:
    (run.folder / "work").mkdir(parents=True)
    (run.folder / "work" / "precious").write_text("mine")
    run_stage(copying([]), run)
    assert (run.folder / "work" / "precious").read_text() == "mine"


def test_an_input_that_no_stage_has_made_yet_is_told(run: Run) -> None:
    (run.folder.parent / "input").unlink()
    with pytest.raises(FileError, match="input: not there yet; do the stages before"):
        run_stage(copying([]), run)


def test_a_damaged_stamp_is_told_with_its_file(run: Run) -> None:
    run_stage(copying([]), run)
    (run.folder / "stages" / "copy.json").write_text("{}")
    with pytest.raises(FileError, match=r"copy\.json: schema"):
        run_stage(copying([]), run)


def test_seconds_are_told_for_every_stage_that_was_begun(run: Run) -> None:
    assert seconds_taken(run) == {}
    run_stage(copying([], "first"), run)
    run_stage(copying([], "second"), run)
    assert list(seconds_taken(run)) == ["first", "second"]
    assert all(seconds >= 0 for seconds in seconds_taken(run).values())
