"""Stage `profile`: a latency table for every target that brings none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.profiling import Workload, profile
from pipeline.run import Run
from pipeline.stage import Stage
from profilers.errors import FileError
from profilers.protocol import protocol_named
from profilers.target import Target

if TYPE_CHECKING:
    from pipeline.recurrent.plan import LanguageRun

WORK = "tables"


def _inputs(run: Run | LanguageRun) -> Sequence[object]:
    own = [target.target for target in run.plan.targets if target.table is None]
    for target in run.plan.targets:
        if target.table is not None:
            _require_apart(run, Path(target.table))
    return [run.space.name, asdict(run.plan.profile), own]


def _require_apart(run: Run | LanguageRun, brought: Path) -> None:
    """Raise FileError where a table that the recipe brings is missing, or would go when the run measures its own."""
    if not brought.is_file():
        raise FileError(f"{brought}: no such latency table")
    if brought.resolve().is_relative_to((run.folder / WORK).resolve()):
        raise FileError(f"{brought}: lies where this run keeps tables of its own; copy it elsewhere and name that")


def _outputs(run: Run | LanguageRun) -> Sequence[Path]:
    """The tables of the run's own: one that a target brings is the user's, and never taken away."""
    return [run.table_path(target) for target in run.plan.targets if target.table is None]


def _perform(run: Run | LanguageRun) -> None:
    paths = {Target.parse(t.target): run.table_path(t) for t in run.plan.targets if t.table is None}
    if not paths:
        return
    run.watch.note(run.data_facts)  # before minutes of measuring: data that is missing or does not fit ends here
    settings = run.plan.profile
    workload = Workload.of(run.space, networks=settings.networks)
    tables = profile(workload, paths, protocol_named(settings.protocol), watch=run.watch)
    for table in tables.values():
        run.watch.note(table.summary())


TABLES = Stage(name="profile", inputs=_inputs, work=WORK, outputs=_outputs, perform=_perform)
