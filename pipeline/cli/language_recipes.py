"""What `millis run` and `millis report` do for a language model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.console import ProgressBars, facts, print_table, show
from pipeline.cli.language import language_run

if TYPE_CHECKING:
    from pipeline.recurrent.report import LanguageReport


def run_recipe(recipe: Path, folder: Path, as_json: bool) -> None:
    """Profile, search, derive, train, export, measure, report. Finished stages are skipped."""
    from pipeline.recurrent.exporting import require_runtimes
    from pipeline.recurrent.plan import load_language_recipe
    from pipeline.recurrent.stages import stages_of
    from pipeline.stage import run_stage

    plan = load_language_recipe(recipe)
    require_runtimes(target.parsed.runtime for target in plan.targets)
    plan.save(folder)
    with ProgressBars() as bars:
        current = language_run(folder, bars)
        for stage in stages_of(plan):
            run_stage(stage, current)
    show_language_report(folder, as_json)


def report(folder: Path, as_json: bool) -> None:
    """Write the report of a run anew, and print the result."""
    from pipeline.recurrent.stages.report import REPORT
    from pipeline.stage import run_stage

    with ProgressBars() as bars:
        run_stage(REPORT, language_run(folder, bars))
    show_language_report(folder, as_json)


def show_language_report(folder: Path, as_json: bool) -> None:
    from pipeline.recurrent.report import read_report

    found = read_report(folder)
    show(json.loads((folder / "report.json").read_text()), as_json, lambda: _print(found, folder))
    _require_budgets_met(found)


def _print(found: LanguageReport, folder: Path) -> None:
    told = {"cell": found.genotype, "test perplexity": f"{found.perplexity:.3f}", "test bits": f"{found.bits:.3f}"}
    facts({**told, "params": f"{found.params:,}", "macs": f"{found.macs:,}"})
    rows = [
        [each.target, f"{each.budget_ms:.4f}", f"{each.predicted_ms:.4f}", f"{each.measured_ms:.4f}",
         f"{each.exported.measured_ms:.4f}"]
        for each in found.targets
    ]  # fmt: skip
    if rows:
        print_table(["target", "budget ms", "predicted ms", "measured ms", "exported file ms"], rows)
    for file in found.files:
        print(folder / file.path)
    print(f"{folder / 'report.html'}: how each number was obtained, with pictures")


def _require_budgets_met(found: LanguageReport) -> None:
    from profilers.errors import MillisError

    missed = [each for each in found.targets if not each.within_budget]
    if missed:
        told = "; ".join(
            f"{each.exported.measured_ms:.4g} ms of {each.budget_ms:.4g} ms on {each.target}" for each in missed
        )
        raise MillisError(f"the exported step was measured over its budget: {told}; was the machine busy? run again")
