"""Stages: each is done once, and again only when something that it was made from has changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from pipeline.watcher import Watcher
from profilers.errors import FileError
from profilers.files import read_json, sha256_of, write_json

SCHEMA = 1  # 1: hash of the inputs, seconds taken, whether finished


class AnyRun(Protocol):
    """What every kind of run has: a folder of its own, and whoever watches."""

    @property
    def folder(self) -> Path: ...

    @property
    def watch(self) -> Watcher: ...


R = TypeVar("R", bound=AnyRun)
R_contra = TypeVar("R_contra", bound=AnyRun, contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage(Generic[R_contra]):
    """What a stage is made from, the folder it works in, what it leaves, and how it is done.

    `inputs` are values that print as JSON and paths, whose contents count. `work` is emptied when the inputs have
    changed, and kept when a killed stage goes on.
    """

    name: str
    inputs: Callable[[R_contra], Sequence[object]]
    work: str | None = None
    outputs: Callable[[R_contra], Sequence[Path]]
    perform: Callable[[R_contra], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """How far a stage has come."""

    inputs: str
    wall_s: float
    finished: bool


def run_stage(stage: Stage[R], run: R) -> None:
    """Do the stage, go on with it, or leave it as it is."""
    path = run.folder / "stages" / f"{stage.name}.json"
    inputs = _fingerprint(stage.inputs(run))
    before = read_json(path, Stamp, kind="stage", schema=SCHEMA) if path.exists() else None
    if before is not None and before.inputs != inputs:
        _clear(stage, run)
        before = None
    if before is None:  # what lies here without a stamp was not made by this stage: it is no business of ours
        before = Stamp(inputs=inputs, wall_s=0.0, finished=False)
    elif before.finished and all(output.exists() for output in stage.outputs(run)):
        run.watch.note(f"{stage.name}: done before, skipped")
        return
    _write(path, replace(before, finished=False))
    begin = time.monotonic()
    stage.perform(run)
    _write(path, Stamp(inputs=inputs, wall_s=before.wall_s + time.monotonic() - begin, finished=True))


def _clear(stage: Stage[R], run: R) -> None:
    """Take away what was made from other inputs, so that nothing goes on from it."""
    if stage.work is not None:
        shutil.rmtree(run.folder / stage.work, ignore_errors=True)
    for output in stage.outputs(run):
        if output.is_file():
            output.unlink()


def seconds_taken(run: AnyRun) -> dict[str, float]:
    """Seconds of each stage, in the order they were finished."""
    stamps = sorted((run.folder / "stages").glob("*.json"), key=lambda path: path.stat().st_mtime)
    return {path.stem: read_json(path, Stamp, kind="stage", schema=SCHEMA).wall_s for path in stamps}


def _write(path: Path, stamp: Stamp) -> None:
    write_json(path, {"schema": SCHEMA, **asdict(stamp)})


def _fingerprint(inputs: Sequence[object]) -> str:
    """A hash of values and of files' contents; raises FileError for a file that no stage has made yet."""
    for value in inputs:
        if isinstance(value, Path) and not value.is_file():
            raise FileError(f"{value}: not there yet; do the stages before this one first, or all with: millis run")
    told = [sha256_of(value) if isinstance(value, Path) else value for value in inputs]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
