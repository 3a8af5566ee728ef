"""Commands that search recurrent cells for language models."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import ProgressBars, facts, print_table, show
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.plan import TargetPlan
    from pipeline.recurrent.plan import LanguagePlan, LanguageRun
    from pipeline.recurrent.report import JudgedCell
    from pipeline.recurrent.settings import Level

TextFile = Annotated[Path, typer.Argument(help="A text in UTF-8, or packed as .gz.", metavar="TEXT")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a language run.", metavar="RUN")]
LevelOption = Annotated[str, typer.Option("--level", help="What a token is: char or word.")]
Hidden = Annotated[int, typer.Option(help="Size of the cell's state and of the embedding.", min=1)]


def text_facts(text: TextFile, level: LevelOption = "char", hidden: Hidden = 128, json: Json = False) -> None:
    """Show how a text is split, its vocabulary, and the space of its cells, for millis profile --space."""
    from pipeline.recurrent.plan import space_name
    from pipeline.recurrent.text import load_corpus

    corpus = load_corpus(text, _level(level))
    found = {
        "train": len(corpus.train),
        "validation": len(corpus.validation),
        "test": len(corpus.test),
        "vocabulary": len(corpus.vocabulary),
        "space": space_name(hidden, len(corpus.vocabulary)),
    }
    show(found, json, lambda: facts(found))


def search(
    text: TextFile,
    output: Annotated[Path, typer.Option("-o", "--output", help="The folder of the run.")],
    level: LevelOption = "char",
    hidden: Hidden = 128,
    table: Annotated[list[Path] | None, typer.Option(help="A latency table; repeat for several targets.")] = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="Of a step: 0.05ms, or 40%; one for all tables or each.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training part.", min=1)] = 3,
    order: Annotated[int, typer.Option(help="1, or 2 to look one step of the weights ahead.")] = 1,
    batch: Annotated[int, typer.Option(help="Places of the text that are read side by side.", min=1)] = 64,
    bptt: Annotated[int, typer.Option(help="Usual length of a segment.", min=5)] = 35,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of the weights in the search; by default 20 for words, 5 for char.")
    ] = None,
    train_learning_rate: Annotated[float, typer.Option(help="Of the weights when a cell is trained.")] = 20.0,
    alpha_learning_rate: Annotated[float, typer.Option(help="Of the architecture.")] = 3e-3,
    dropout: Annotated[
        float | None,
        typer.Option(help="Of the rates for the Penn Treebank; by default 0.15 for char, hidden / 300 for words."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes every random draw.")] = 0,
    seeds: Annotated[int, typer.Option(help="Search so often, and keep the best on the validation text.", min=1)] = 1,
    judge_epochs: Annotated[int, typer.Option(help="Passes that the cell of each seed is trained for.", min=1)] = 5,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Also try random cells at equal cost, shown beside the result.")
    ] = False,
    networks: Annotated[int, typer.Option(help="Random cells for each seed.", min=1)] = 4,
    json: Json = False,
) -> None:
    """Search a cell on a text, within a latency budget where tables are given, and derive it."""
    from pipeline.recurrent.plan import LanguagePlan
    from pipeline.recurrent.settings import (
        OF_SEARCH,
        OF_TRAINING,
        CellSearchSettings,
        CellTrainSettings,
        usual_dropout,
        usual_search_regime,
        usual_train_regime,
    )

    factor = usual_dropout(_level(level), hidden) if dropout is None else dropout
    searching, training = usual_search_regime(_level(level), hidden), usual_train_regime(_level(level), hidden)
    rate = searching.learning_rate if learning_rate is None else learning_rate
    try:
        sizes = {"batch_size": batch, "bptt": bptt}
        settings = CellSearchSettings(
            epochs=epochs,
            regime=replace(searching, **sizes, dropout=OF_SEARCH.scaled(factor), learning_rate=rate),
            alpha_learning_rate=alpha_learning_rate,
            order=2 if order == 2 else 1,
            seeds=seeds,
            judge_epochs=judge_epochs,
            networks=networks,
        )
        regime = replace(training, **sizes, dropout=OF_TRAINING.scaled(factor), learning_rate=train_learning_rate)
        plan = LanguagePlan(
            text=str(text),
            level=_level(level),
            hidden=hidden,
            targets=_targets(table or [], budget or []),
            seed=seed,
            search=settings,
            train=CellTrainSettings(regime=regime),
            baseline=baseline,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with ProgressBars() as bars:
        _search(output, plan, bars)
    _show_cell(language_run(output), json)


def derive(
    run: RunFolder,
    table: Annotated[list[Path] | None, typer.Option(help="Other tables than those of the search.")] = None,
    budget: Annotated[list[str] | None, typer.Option(help="Another budget; one for all tables or one each.")] = None,
    json: Json = False,
) -> None:
    """Derive the cell of a finished search under another budget, or from other tables."""
    current = language_run(run)
    tables = table or [current.table_path(each) for each in current.plan.targets]
    try:
        targets = _targets(tables, budget or [each.budget for each in current.plan.targets])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    changed = replace(current, plan=replace(current.plan, targets=targets))
    architecture = changed.derive()
    changed.plan.save(run)
    architecture.save(changed.architecture_path)
    _show_cell(changed, json)


def language_run(folder: Path, bars: ProgressBars | None = None) -> LanguageRun:
    from pipeline.recurrent.plan import LanguageRun, load_language_plan

    return LanguageRun(folder=folder, plan=load_language_plan(folder), watch=bars or ProgressBars())


def _search(folder: Path, plan: LanguagePlan, bars: ProgressBars) -> None:
    from pipeline.derivation import require_feasible
    from pipeline.recurrent.plan import LanguageRun
    from pipeline.recurrent.stages.baseline import BASELINE
    from pipeline.recurrent.stages.search import SEARCH
    from pipeline.stage import run_stage

    current = LanguageRun(folder=folder, plan=plan, watch=bars)
    require_feasible(current.space, current.goals)  # before an earlier run here loses its plan
    plan.save(folder)
    run_stage(SEARCH, current)
    current.derive().save(current.architecture_path)
    if plan.baseline:
        run_stage(BASELINE, current)


def _level(text: str) -> Level:
    if text not in {"char", "word"}:
        raise typer.BadParameter(f"--level {text!r}: write char or word")
    return "char" if text == "char" else "word"


def _targets(tables: list[Path], budgets: list[str]) -> tuple[TargetPlan, ...]:
    from latency_tables.table_file import load_table
    from pipeline.plan import TargetPlan

    if len(budgets) == 1 and tables:
        budgets = budgets * len(tables)
    if len(budgets) != len(tables):
        raise typer.BadParameter(f"{len(budgets)} budgets for {len(tables)} tables; give one for all or one each")
    return tuple(
        TargetPlan(target=str(load_table(path).target), budget=text, table=str(path))
        for path, text in zip(tables, budgets, strict=True)
    )


def _show_cell(current: LanguageRun, as_json: bool) -> None:
    from pipeline.recurrent.space import genotype_of

    architecture = current.architecture()
    goals, rivals = current.goals, _rivals(current)
    found = {
        "genotype": str(genotype_of(architecture.space, architecture.choices)),
        "space": architecture.space.name,
        "params": architecture.params,
        "macs": architecture.macs,
        "predicted_ms": {str(goal.target): goal.table.network_ms(architecture.ops()) for goal in goals},
        "budget_ms": {str(goal.target): goal.budget_ms for goal in goals},
        "architecture": str(current.architecture_path),
        **{name: {each: asdict(cell) for each, cell in cells.items()} for name, cells in rivals.items()},
    }

    def text() -> None:
        facts({name: found[name] for name in ("genotype", "space", "params", "macs")})
        for goal in goals:
            ms = goal.table.network_ms(architecture.ops())
            print(f"{goal.target}: predicted {ms:.4f} ms a token of {goal.budget_ms:.4f} ms")
        for name, cells in rivals.items():
            print_table([name, "perplexity", "predicted ms", "steps", "cell"], [_row(*each) for each in cells.items()])
            print("perplexity of the validation text, of models trained for so many steps from scratch\n")
        print(current.architecture_path)

    show(found, as_json, text)


def _rivals(current: LanguageRun) -> dict[str, dict[str, JudgedCell]]:
    """What a user should know of the search beside its cell: the seeds, random cells at equal cost."""
    from pipeline.recurrent.stages.baseline import baseline_beside
    from pipeline.recurrent.stages.search import read_seeds

    found = {"seeds": {f"seed {seed}": cell for seed, cell in read_seeds(current).items()}}
    beside = baseline_beside(current)
    found["baseline"] = {} if beside is None else beside.rivals
    return {name: cells for name, cells in found.items() if cells}


def _row(name: str, cell: JudgedCell) -> list[str]:
    predicted = ", ".join(f"{ms:.4f}" for ms in cell.predicted_ms.values())
    return [name, f"{cell.perplexity:.3f}", predicted, str(cell.steps), cell.genotype]
