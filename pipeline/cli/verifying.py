"""The command that checks a bundle, and whether it keeps its promise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import ProgressBars, fail, show
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from deploy.promise import Remeasured


def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder or .zip.", metavar="BUNDLE")],
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure its main model again, and say whether its latency holds.")
    ] = False,
    target: Annotated[
        str | None, typer.Option(help="With --measure: where; by default on this machine, as the bundle says.")
    ] = None,
    json: Json = False,
) -> None:
    """Check a bundle on this machine: checksums, manifest, golden inputs and outputs, with --measure its latency."""
    from deploy.verify import verify as check

    if target is not None and not measure:
        raise typer.BadParameter("--target says where to measure: give --measure too")
    checked = check(bundle)
    found: dict[str, object] = {
        "bundle": str(bundle),
        "complete": checked.complete,
        "checks": [{"check": each.name, "done": each.done, "detail": each.detail} for each in checked.checks],
    }
    again = _measured(bundle, target) if measure else None
    if again is not None:
        found["promise"] = _document(again)

    def text() -> None:
        for each in checked.checks:
            print(f"{'ok     ' if each.done else 'skipped'}  {each.name}: {each.detail}")
        if again is not None:
            print(_sentence(again))
            for difference in again.outcome.differs:
                print(f"         not as promised: {difference}")

    show(found, json, text)
    if again is not None and again.outcome.holds is False:
        fail(f"{bundle}: its latency does not hold here", 1)


def _measured(bundle: Path, target: str | None) -> Remeasured:
    from deploy.promise import measure_promise
    from profilers.target import Target

    with ProgressBars() as bars:
        return measure_promise(
            bundle,
            None if target is None else Target.parse(target),
            on_progress=lambda done, planned: bars.progress("measure", done, planned),
            notify=bars.note,
        )


def _sentence(again: Remeasured) -> str:
    verdict = {True: "ok       latency: holds", False: "WRONG    latency: does not hold", None: "told     latency"}
    promised, (low_ms, high_ms) = again.promised, again.outcome.interval_ms
    change = again.measured_ms / promised.measured_ms - 1
    budget = "within" if again.within_budget else "over"
    return (
        f"{verdict[again.outcome.holds]}: {again.measured_ms:.4g} ms on {again.target}, "
        f"{promised.measured_ms:.4g} ms promised on {promised.target} ({change:+.1%}; "
        f"{low_ms:.4g} to {high_ms:.4g} ms is as promised), {budget} the budget of {promised.budget_ms:.4g} ms"
    )


def _document(again: Remeasured) -> dict[str, object]:
    return {
        "target": again.target,
        "measured_ms": again.measured_ms,
        "spread": again.latency.spread,
        "samples": again.latency.samples,
        "verdict": again.latency.verdict,
        "promised_target": again.promised.target,
        "promised_ms": again.promised.measured_ms,
        "interval_ms": list(again.outcome.interval_ms),
        "budget_ms": again.promised.budget_ms,
        "within_budget": again.within_budget,
        "protocol": again.promised.protocol,
        "holds": again.outcome.holds,
        "differs": list(again.outcome.differs),
    }
