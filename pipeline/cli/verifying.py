"""The command that checks a bundle, and whether it keeps its promise."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import ProgressBars, fail, show
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from deploy.promise import Promise


def verify(
    bundle: Annotated[Path, typer.Argument(help="A bundle's folder or .zip.", metavar="BUNDLE")],
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure its main model again, and say whether its latency holds.")
    ] = False,
    target: Annotated[
        str | None, typer.Option(help="With --measure: where, by default on the target that the bundle names.")
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
    promise = _measured(bundle, target) if measure else None
    if promise is not None:
        found["promise"] = _document(promise)

    def text() -> None:
        for each in checked.checks:
            print(f"{'ok     ' if each.done else 'skipped'}  {each.name}: {each.detail}")
        if promise is not None:
            print(_sentence(promise))
            for difference in promise.differs:
                print(f"         not as promised: {difference}")

    show(found, json, text)
    if promise is not None and promise.holds is False:
        fail(f"{bundle}: its latency does not hold here", 1)


def _measured(bundle: Path, target: str | None) -> Promise:
    from deploy.promise import measure_promise
    from profilers.target import Target

    with ProgressBars() as bars:
        return measure_promise(
            bundle,
            None if target is None else Target.parse(target),
            on_progress=lambda done, planned: bars.progress("measure", done, planned),
            notify=bars.note,
        )


def _sentence(promise: Promise) -> str:
    outcome = {True: "ok       latency: holds", False: "WRONG    latency: does not hold", None: "told     latency"}
    low_ms, high_ms = promise.interval_ms
    change = promise.measured_ms / promise.promised.measured_ms - 1
    budget = "within" if promise.within_budget else "over"
    return (
        f"{outcome[promise.holds]}: {promise.measured_ms:.4g} ms on {promise.target}, "
        f"{promise.promised.measured_ms:.4g} ms promised on {promise.promised.target} ({change:+.1%}; "
        f"{low_ms:.4g} to {high_ms:.4g} ms is as promised), {budget} the budget of {promise.promised.budget_ms:.4g} ms"
    )


def _document(promise: Promise) -> dict[str, object]:
    return {
        "target": promise.target,
        "measured_ms": promise.measured_ms,
        "spread": promise.latency.spread,
        "samples": promise.latency.samples,
        "verdict": promise.latency.verdict,
        "promised_target": promise.promised.target,
        "promised_ms": promise.promised.measured_ms,
        "interval_ms": list(promise.interval_ms),
        "budget_ms": promise.promised.budget_ms,
        "within_budget": promise.within_budget,
        "protocol": promise.promised.protocol,
        "holds": promise.holds,
        "differs": list(promise.differs),
    }
