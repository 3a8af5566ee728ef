"""Commands that search, train and export; each works on the folder of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.console import ProgressBars, facts, show
from pipeline.cli.options import Json
from pipeline.cli.results import show_architecture, show_bundles, show_report

if TYPE_CHECKING:
    from pipeline.architecture import Architecture
    from pipeline.plan import Plan
    from pipeline.run import Run

RunFolder = Annotated[Path, typer.Argument(help="The folder of a run.", metavar="RUN")]
Output = Annotated[Path, typer.Option("-o", "--output", help="The folder of the run.")]
Download = Annotated[bool, typer.Option("--download", help="Fetch the data set if it is not on this machine.")]
Budgets = Annotated[
    list[str],
    typer.Option("--budget", help="12ms, or 40% of the way from fastest to slowest; one for all tables or one each."),
]


def search(
    space: Annotated[str, typer.Option(help="The search space; see millis spaces.")],
    table: Annotated[list[Path], typer.Option(help="A latency table; repeat for several targets.")],
    budget: Budgets,
    data: Annotated[str, typer.Option(help="digits, fashion-mnist, cifar10, cifar100 or imagefolder:PATH.")],
    output: Output,
    strategy: Annotated[str, typer.Option(help="How to search; see millis spaces.")] = "proxyless",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training data; else the strategy's own.")] = None,
    warmup_epochs: Annotated[int | None, typer.Option(help="Of them, with weights alone learning.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Another setting, as in alpha_learning_rate=0.05; repeat.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes every random draw.")] = 0,
    seeds: Annotated[int, typer.Option(help="Search so often, and keep the best on the architecture split.")] = 1,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Also try random networks at equal cost, shown beside the result.")
    ] = False,
    download: Download = False,
    json: Json = False,
) -> None:
    """Search a network for a latency budget, and derive it."""
    from latency_tables.table_file import load_table
    from pipeline.derivation import require_feasible
    from pipeline.plan import Plan, TargetPlan
    from pipeline.search_settings import read_settings
    from pipeline.stage import run_stage
    from pipeline.stages.baseline import BASELINE
    from pipeline.stages.search import SEARCH

    budgets = _one_each(budget, len(table))
    try:
        targets = tuple(
            TargetPlan(target=str(load_table(path).target), budget=text, table=str(path))
            for path, text in zip(table, budgets, strict=True)
        )
        given = {"strategy": strategy, "epochs": epochs, "warmup_epochs": warmup_epochs, "seeds": seeds}
        settings = read_settings(setting or [], **{name: value for name, value in given.items() if value is not None})
        plan = Plan(
            name=output.resolve().name,
            space=space,
            data=data,
            targets=targets,
            seed=seed,
            search=settings,
            baseline=baseline,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with ProgressBars() as bars:
        current = _run(output, plan, bars, download)
        require_feasible(current.space, current.goals)  # before an earlier run here loses its plan
        plan.save(output)
        run_stage(SEARCH, current)
        _derive(current, confirm=False).save(current.architecture_path)
        if baseline:
            run_stage(BASELINE, current)
    show_architecture(current, json)


def derive(
    run: RunFolder,
    budget: Annotated[list[str] | None, typer.Option(help="Another budget; one for all targets or one each.")] = None,
    table: Annotated[list[Path] | None, typer.Option(help="Another table instead of each target's own.")] = None,
    confirm: Annotated[bool, typer.Option("--confirm", help="Measure the network on its targets, too.")] = False,
    json: Json = False,
) -> None:
    """Derive a network from a finished search under another budget, or from another table."""
    from latency_tables.table_file import load_table
    from pipeline.plan import load_plan

    plan = load_plan(run)
    try:
        if table:
            budgets = _one_each(budget or [target.budget for target in plan.targets], len(table))
            targets = [
                replace(plan.targets[0], target=str(load_table(path).target), table=str(path), budget=text)
                for path, text in zip(table, budgets, strict=True)
            ]
        else:
            budgets = _one_each(budget or [target.budget for target in plan.targets], len(plan.targets))
            targets = [replace(target, budget=text) for target, text in zip(plan.targets, budgets, strict=True)]
        plan = replace(plan, targets=tuple(targets), bundles=() if table else plan.bundles)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with ProgressBars() as bars:
        current = _run(run, plan, bars)
        architecture = _derive(current, confirm=confirm)
        plan.save(run)
        architecture.save(current.architecture_path)
    show_architecture(current, json)


def train(run: RunFolder, download: Download = False, json: Json = False) -> None:
    """Train the derived network; then test it, once."""
    from pipeline.plan import load_plan
    from pipeline.stage import run_stage
    from pipeline.stages.train import TRAIN, read_train_record

    with ProgressBars() as bars:
        current = _run(run, load_plan(run), bars, download)
        run_stage(TRAIN, current)
    record = read_train_record(current)
    found = {
        "accuracy": record.test_correct / record.test_images,
        "test_images": record.test_images,
        "validation_accuracy": record.validation_accuracy,
        "weights": str(current.weights_path),
    }
    show(found, json, lambda: facts(found))


def export(
    run: RunFolder,
    to: Annotated[
        str,
        typer.Option(
            help="Bundles to make, of android, ios, web, linux, server-cpu and server-gpu; earlier ones that are not "
            "named are deleted."
        ),
    ],
    precisions: Annotated[
        str, typer.Option(help="Choose only among these, as in fp32,int8; else the plan's, at first all.")
    ] = "",
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(help="Points of validation accuracy to lose against fp32 at most; else the plan's, at first 0.5."),
    ] = None,
    json: Json = False,
) -> None:
    """Export the trained network in each precision, measure the files, and pack a bundle for each kind of target."""
    from pipeline.plan import load_plan
    from pipeline.stage import run_stage
    from pipeline.stages.export import EXPORT
    from pipeline.stages.measure import MEASURE
    from pipeline.stages.package import PACKAGE

    asked = {"bundles": _words(to), "precisions": _words(precisions), "max_accuracy_drop": max_accuracy_drop}
    changes: dict[str, Any] = {name: value for name, value in asked.items() if value not in {None, ()}}
    plan = load_plan(run)
    try:
        plan = replace(plan, **changes)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    plan.save(run)
    with ProgressBars() as bars:
        current = _run(run, plan, bars)
        for stage in (EXPORT, MEASURE, PACKAGE):
            run_stage(stage, current)
    show_bundles(current, json)


def report(run: RunFolder, json: Json = False) -> None:
    """Write report.json and report.html of a run, and print the result."""
    from pipeline.cli import language_recipes
    from pipeline.plan import load_plan
    from pipeline.recurrent.plan import PLAN
    from pipeline.stage import run_stage
    from pipeline.stages.report import REPORT

    if (run / PLAN).is_file():
        language_recipes.report(run, json)
        return
    with ProgressBars() as bars:
        current = _run(run, load_plan(run), bars)
        run_stage(REPORT, current)
    show_report(current, json)


def run(
    recipe: Annotated[Path, typer.Argument(help="A recipe, .yaml.", metavar="RECIPE")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The folder of the run; by default runs/<recipe>.")
    ] = None,
    download: Download = False,
    json: Json = False,
) -> None:
    """Do everything: profile, search, derive, train, export, measure, package, report. Finished stages are skipped.

    A recipe that names a text makes a language model, which is not packed into bundles.
    """
    from pipeline.cli import language_recipes
    from pipeline.plan import load_recipe
    from pipeline.recurrent.plan import is_language_recipe
    from pipeline.shipping import require_makeable
    from pipeline.stage import run_stage
    from pipeline.stages import stages_of

    folder = output or Path("runs") / recipe.stem
    if is_language_recipe(recipe):
        language_recipes.run_recipe(recipe, folder, json)
        return
    plan = load_recipe(recipe)
    require_makeable(plan)
    plan.save(folder)
    with ProgressBars() as bars:
        current = _run(folder, plan, bars, download)
        for stage in stages_of(plan):
            run_stage(stage, current)
    show_report(current, json)


def _run(folder: Path, plan: Plan, bars: ProgressBars, download: bool = False) -> Run:
    from pipeline.run import Run

    return Run(folder=folder, plan=plan, watch=bars, download=download)


def _derive(current: Run, *, confirm: bool) -> Architecture:
    from pipeline.search_task import SearchResult
    from pipeline.stages.derive import derive_confirmed

    result = SearchResult.load(current.search_result_path)
    return derive_confirmed(current, result) if confirm else result.derive(current.space, current.goals)


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _one_each(budgets: list[str], count: int) -> list[str]:
    if len(budgets) not in {1, count}:
        raise typer.BadParameter(f"{len(budgets)} budgets for {count} targets; give one for all or one each")
    return budgets * count if len(budgets) == 1 else budgets
