"""The files that a keyboard ships: one step of a trained model, and its vocabulary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from pipeline.recurrent.models import model_folder, trained_model
from pipeline.recurrent.plan import LanguageRun
from pipeline.recurrent.step_file import SUFFIXES, StepFile, write_step_file
from profilers.errors import TargetError
from profilers.files import write_json


def export_cell(run: LanguageRun, cell: str, runtimes: Sequence[str], tokens: int) -> list[StepFile]:
    """A file for each runtime, held against PyTorch over so many tokens of the validation part.

    Raises CompileError, ParityError, and TargetError for runtimes that there are no step models for.
    """
    require_runtimes(runtimes)
    model = trained_model(run, cell)
    folder = artifacts_folder(run, cell)
    write_json(folder / "vocabulary.json", list(run.corpus.vocabulary.tokens))
    text = run.corpus.validation[:tokens]
    return [write_step_file(model, name, folder / f"step{SUFFIXES[name]}", text) for name in runtimes]


def require_runtimes(runtimes: Iterable[str]) -> None:
    """Raise TargetError for runtimes that there are no step models for."""
    unknown = [name for name in runtimes if name not in SUFFIXES]
    if unknown:
        raise TargetError(f"no step model for runtime {unknown[0]!r}; there are {', '.join(SUFFIXES)}")


def artifacts_folder(run: LanguageRun, cell: str) -> Path:
    return run.folder / "artifacts" / model_folder(run, cell).name
