"""Stage `baseline` of a language run: random cells at the cost of the search, beside the cell that was found.

Each makes a model that is trained for as long from scratch; the validation text judges them, the test plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.recurrent.plan import LanguageRun
from pipeline.recurrent.report import CellBaseline
from pipeline.recurrent.space import genotype_of
from pipeline.recurrent.stages.search import search_inputs
from pipeline.stage import Stage
from profilers.files import read_json, write_json

SCHEMA = 1  # 1: all cells with their losses and predicted latency


def baseline_beside(run: LanguageRun) -> CellBaseline | None:
    """The baseline of the cell that the run has derived; None where there is none."""
    if not _path(run).exists():
        return None
    baseline = read_json(_path(run), CellBaseline, kind="baseline", schema=SCHEMA)
    derived = run.architecture()
    return baseline if baseline.found.genotype == str(genotype_of(derived.space, derived.choices)) else None


def _path(run: LanguageRun) -> Path:
    return run.folder / "baseline" / "result.json"


def _inputs(run: LanguageRun) -> Sequence[object]:
    return [*search_inputs(run), asdict(run.plan.train), run.architecture_path]


def _outputs(run: LanguageRun) -> Sequence[Path]:
    return [_path(run)]


def _perform(run: LanguageRun) -> None:
    from pipeline.recurrent.judging import judge, search_passes
    from pipeline.recurrent.space import wiring_of
    from pipeline.strategies.random_search import draw_all

    settings = run.plan.search
    epochs = max(1, round(search_passes(settings, wiring_of(run.space)) / settings.networks))
    cells = {"found": run.architecture()}
    drawn = draw_all(run.search_task(), settings.networks * settings.seeds)
    cells |= {f"random{number}": architecture for number, architecture in enumerate(drawn)}
    found, *random = (
        judge(
            run,
            architecture,
            epochs=epochs,
            checkpoint=run.folder / "baseline" / f"{name}.checkpoint.safetensors",
            part=f"baseline ({name})",
        )
        for name, architecture in cells.items()
    )
    baseline = CellBaseline(epochs=epochs, found=found, random=tuple(random))
    write_json(_path(run), {"schema": SCHEMA, **asdict(baseline)})


BASELINE = Stage(name="baseline", inputs=_inputs, work="baseline", outputs=_outputs, perform=_perform)
