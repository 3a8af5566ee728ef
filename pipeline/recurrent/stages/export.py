"""Stage `export` of a language run: one step of the searched model for each runtime, held against PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pipeline.recurrent.exporting import artifacts_folder, export_cell
from pipeline.recurrent.models import weights_path
from pipeline.recurrent.plan import SEARCHED, LanguageRun
from pipeline.recurrent.step_file import SUFFIXES, StepFile
from pipeline.stage import Stage
from profilers.files import read_json, write_json

SCHEMA = 1  # 1: each file and how far it is from PyTorch
PARITY_TOKENS = 500  # of the validation text


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFiles:
    """What was exported; paths are relative to the run."""

    files: tuple[StepFile, ...]


def read_step_files(run: LanguageRun) -> tuple[StepFile, ...]:
    return read_json(_record(run), StepFiles, kind="record of exports", schema=SCHEMA).files


def _record(run: LanguageRun) -> Path:
    return artifacts_folder(run, SEARCHED) / "exports.json"


def _runtimes(run: LanguageRun) -> list[str]:
    """Those of the targets; all where there are none."""
    return list(dict.fromkeys(target.parsed.runtime for target in run.plan.targets)) or list(SUFFIXES)


def _inputs(run: LanguageRun) -> Sequence[object]:
    plan = run.plan
    return [weights_path(run, SEARCHED), Path(plan.text), plan.level, _runtimes(run), PARITY_TOKENS]


def _outputs(run: LanguageRun) -> Sequence[Path]:
    return [_record(run)]


def _perform(run: LanguageRun) -> None:
    files = export_cell(run, SEARCHED, _runtimes(run), PARITY_TOKENS)
    for each in files:
        run.watch.note(
            f"{each.path}: over {each.tokens} tokens off by at most {each.max_abs_difference:.2g} of logits up to "
            f"{each.max_abs_logit:.2g}, the same guess after {each.same_guess:.1%}"
        )
    kept = tuple(replace(each, path=str(Path(each.path).relative_to(run.folder))) for each in files)
    write_json(_record(run), {"schema": SCHEMA, **asdict(StepFiles(files=kept))})


EXPORT = Stage(name="export", inputs=_inputs, work="artifacts", outputs=_outputs, perform=_perform)
