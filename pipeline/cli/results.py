"""What commands on a run print of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.console import facts, print_table, show

if TYPE_CHECKING:
    from deploy.manifest import LeftOut, Manifest, Model
    from pipeline.report import Report, TargetReport
    from pipeline.run import Run


def show_architecture(current: Run, as_json: bool) -> None:
    architecture = current.architecture()
    predicted = {str(goal.target): goal.table.predict(architecture.ops()) for goal in current.goals}
    intervals = {target: each.interval_ms(0.9) for target, each in predicted.items()}
    budgets = {str(goal.target): goal.budget_ms for goal in current.goals}
    counts = {"params": architecture.params, "macs": architecture.macs}
    predicted_ms = {target: each.ms for target, each in predicted.items()}
    latencies = {"predicted_ms": predicted_ms, "interval_90_ms": intervals, "budget_ms": budgets}
    found = {"choices": architecture.kept, **counts, **latencies, **_search_notes(current)}

    def text() -> None:
        facts({**architecture.kept, **{name: f"{value:,}" for name, value in counts.items()}})
        rows = [
            [target, f"{budgets[target]:.4f}", f"{ms:.4f}", f"{intervals[target][0]:.4f} to {intervals[target][1]:.4f}"]
            for target, ms in predicted_ms.items()
        ]
        print_table(["target", "budget ms", "predicted ms", "90% of measurements lie in"], rows)
        _print_notes(found)
        print(current.architecture_path)

    show(found, as_json, text)


def _search_notes(current: Run) -> dict[str, Any]:
    """What a user should know of the search beside its network: the seeds, random networks at equal cost."""
    from dataclasses import asdict

    from pipeline.collapse import parameterless
    from pipeline.search_task import SearchResult
    from pipeline.stages.baseline import baseline_beside

    seeds = SearchResult.load(current.search_result_path).seeds
    notes: dict[str, Any] = {"parameterless": parameterless(current.architecture())}
    if seeds:
        notes["seeds"] = {each.seed: each.accuracy for each in seeds}
    beside = baseline_beside(current)
    return notes if beside is None else {**notes, "baseline": asdict(beside)}


def _print_notes(found: dict[str, Any]) -> None:
    from pipeline.collapse import DOMINANT, told_of

    if found["parameterless"] > DOMINANT:
        print(f"note: {told_of(found['parameterless'])}\n")
    if "seeds" in found:
        print_table(["seed", "accuracy"], [[str(seed), f"{share:.2%}"] for seed, share in found["seeds"].items()])
    if "baseline" in found:
        beside = found["baseline"]
        rivals = {"found": beside["found"], f"best of {beside['networks']} random": beside["random"]}
        rows = [
            [
                name,
                f"{network['accuracy']:.2%}",
                f"{network['params']:,}",
                f"{network['macs']:,}",
                ", ".join(f"{ms:.4f}" for ms in network["predicted_ms"].values()),
            ]
            for name, network in rivals.items()
        ]
        print_table(["network", "accuracy", "params", "macs", "predicted ms"], rows)
        print(f"accuracy on the architecture split after {beside['epochs']} epochs from scratch\n")


def show_report(current: Run, as_json: bool) -> None:
    import json

    from pipeline.report import read_report

    found = read_report(current.folder)

    def text() -> None:
        rows = [
            [
                each.target,
                f"{each.budget_ms:.4f}",
                f"{each.predicted_ms:.4f}",
                f"{each.measured_ms:.4f}",
                each.shipped.precision,
                f"{each.shipped.measured_ms:.4f}",
                f"{each.shipped.accuracy:.2%}",
                f"{each.shipped.size_bytes / 1024:.0f} KiB",
                str(current.folder / each.bundle) if each.bundle else "",
            ]
            for each in found.targets
        ]
        head = ["target", "budget ms", "predicted ms", "measured ms", "shipped", "its ms", "accuracy", "size", "bundle"]
        print_table(head, rows)
        print(f"{current.folder / 'report.html'}: how each number was obtained, with pictures")

    show(json.loads((current.folder / "report.json").read_text()), as_json, text)
    _require_budgets_met(found)


def _require_budgets_met(found: Report) -> None:
    from profilers.errors import MillisError

    missed = [each for each in found.targets if not each.within_budget]
    if missed:
        told = "; ".join(_missed(each) for each in missed)
        raise MillisError(f"the finished network was measured over its budget: {told}; was the machine busy? run again")


def _missed(target: TargetReport) -> str:
    """By how much, and, where it is shipped in another precision than the budget was set for, why."""
    told = f"{target.shipped.measured_ms:.4g} ms of {target.budget_ms:.4g} ms on {target.target}"
    if target.own is target.shipped:
        return told
    return f"{told} (shipped in {target.shipped.precision}; {target.own.precision}: {target.own.reason})"


def show_bundles(current: Run, as_json: bool) -> None:
    """The file to use of each bundle of a run, and what was left out of it and why."""
    from deploy.manifest import MANIFEST, read_manifest
    from pipeline.stages.export import read_exports

    folders = [current.folder / "bundles" / name for name in current.plan.bundles]
    bundles = [_bundle(folder, read_manifest(folder / MANIFEST)) for folder in folders]
    refused = read_exports(current).refused

    def text() -> None:
        head = ["bundle", "model", "precision", "ms", "size", "accuracy", "measured on"]
        print_table(head, [[each["bundle"], *_cells(each["models"][0])] for each in bundles])
        for each in bundles:
            for model in each["models"][1:]:
                print(f"{each['bundle']}: {model['runtime']} {model['precision']} is in it too: {model['reason']}")
            for left in each["left_out"]:
                print(f"{each['bundle']}: {left['runtime']} {left['precision']} left out: {left['reason']}")
        for name, reason in refused.items():
            print(f"{name} could not be made: {reason}")

    show({"bundles": bundles, "refused": refused}, as_json, text)


def _bundle(folder: Path, manifest: Manifest) -> dict[str, Any]:
    models = [
        {
            "path": str(folder / model.path),
            "size_bytes": model.size_bytes,
            "accuracy": None if model.accuracy is None else model.accuracy.top1,
            "groups": model.groups,
            **_found(model),
        }
        for model in manifest.models
    ]
    left_out = [{"size_bytes": each.size_bytes, **_found(each)} for each in manifest.left_out]
    return {"bundle": manifest.packager, "path": str(folder), "models": models, "left_out": left_out}


def _found(of: Model | LeftOut) -> dict[str, Any]:
    """What was found of a file, whether or not it is shipped."""
    first = of.measured[0] if of.measured else None
    return {
        "runtime": of.runtime,
        "precision": of.precision,
        "target": None if first is None else first.target,
        "measured_ms": None if first is None else first.measured_ms,
        "validation_accuracy": None if of.validation is None else of.validation.top1,
        "reason": of.reason,
    }


def _cells(model: dict[str, Any]) -> list[str]:
    return [
        Path(model["path"]).name,
        model["precision"],
        "" if model["measured_ms"] is None else f"{model['measured_ms']:.4f}",
        f"{model['size_bytes'] / 1024:.0f} KiB",
        "" if model["accuracy"] is None else f"{model['accuracy']:.2%}",
        model["target"] or "nothing: no such device here",
    ]
