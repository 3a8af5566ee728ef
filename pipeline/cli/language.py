"""Commands that search recurrent cells for language models."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import ProgressBars, facts, show
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.recurrent.plan import LanguagePlan, LanguageRun, TableBudget
    from pipeline.recurrent.search import CellSearchEpoch
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
    learning_rate: Annotated[float, typer.Option(help="Of the weights in the search; 20 for the Penn Treebank.")] = 5.0,
    train_learning_rate: Annotated[float, typer.Option(help="Of the weights when a cell is trained.")] = 20.0,
    alpha_learning_rate: Annotated[float, typer.Option(help="Of the architecture.")] = 3e-3,
    dropout: Annotated[
        float | None, typer.Option(help="Of the rates for the Penn Treebank; by default 1 for words, 0.15 for char.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Fixes every random draw.")] = 0,
    json: Json = False,
) -> None:
    """Search a cell on a text, within a latency budget where tables are given, and derive it."""
    from pipeline.recurrent.plan import LanguagePlan
    from pipeline.recurrent.settings import CHARACTERS, SEARCH_REGIME, CellSearchSettings, CellTrainSettings, Regime

    factor = dropout if dropout is not None else CHARACTERS if level == "char" else 1.0
    try:
        settings = CellSearchSettings(
            epochs=epochs,
            regime=replace(
                SEARCH_REGIME.with_dropout(factor), batch_size=batch, bptt=bptt, learning_rate=learning_rate
            ),
            alpha_learning_rate=alpha_learning_rate,
            order=2 if order == 2 else 1,
        )
        regime = Regime(batch_size=batch, bptt=bptt, learning_rate=train_learning_rate).with_dropout(factor)
        plan = LanguagePlan(
            text=str(text),
            level=_level(level),
            hidden=hidden,
            targets=_targets(table or [], budget or []),
            seed=seed,
            search=settings,
            train=CellTrainSettings(regime=regime),
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    _search(output, plan)
    _show_cell(language_run(output), json)


def derive(
    run: RunFolder,
    table: Annotated[list[Path] | None, typer.Option(help="Other tables than those of the search.")] = None,
    budget: Annotated[list[str] | None, typer.Option(help="Another budget; one for all tables or one each.")] = None,
    json: Json = False,
) -> None:
    """Derive the cell of a finished search under another budget, or from other tables."""
    from pipeline.recurrent.plan import LanguageRun

    current = language_run(run)
    tables = table or [Path(each.table) for each in current.plan.targets]
    try:
        targets = _targets(tables, budget or [each.budget for each in current.plan.targets])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    plan = replace(current.plan, targets=targets)
    changed = LanguageRun(folder=run, plan=plan)
    architecture = changed.derive()
    plan.save(run)
    architecture.save(changed.architecture_path)
    _show_cell(changed, json)


def language_run(folder: Path) -> LanguageRun:
    from pipeline.recurrent.plan import LanguageRun, load_language_plan

    return LanguageRun(folder=folder, plan=load_language_plan(folder))


def _search(folder: Path, plan: LanguagePlan) -> None:
    from pipeline.derivation import require_feasible
    from pipeline.metrics import Metrics
    from pipeline.recurrent.plan import LanguageRun
    from pipeline.recurrent.search import CellSearch

    current = LanguageRun(folder=folder, plan=plan)
    require_feasible(current.space, current.goals)
    task = current.search_task()
    anew = not task.path.exists()
    searching = CellSearch.begin(task)  # before an earlier run here loses its plan
    plan.save(folder)
    with ProgressBars() as bars, Metrics(folder, "search", anew=anew) as metrics:

        def tell(epoch: CellSearchEpoch) -> None:
            metrics.tell(epoch.epoch, asdict(epoch))
            bars.note(
                f"search: epoch {epoch.epoch} of {plan.search.epochs}, {epoch.train_loss:.3f} nats a token, validation "
                f"{epoch.validation_loss:.3f}; {epoch.genotype}"
            )
            bars.progress("search", epoch.epoch, plan.search.epochs)

        result = searching.run(tell)
    result.save(current.search_result_path)
    current.derive().save(current.architecture_path)


def _level(text: str) -> Level:
    if text not in {"char", "word"}:
        raise typer.BadParameter(f"--level {text!r}: write char or word")
    return "char" if text == "char" else "word"


def _targets(tables: list[Path], budgets: list[str]) -> tuple[TableBudget, ...]:
    from pipeline.recurrent.plan import TableBudget

    if len(budgets) == 1 and tables:
        budgets = budgets * len(tables)
    if len(budgets) != len(tables):
        raise typer.BadParameter(f"{len(budgets)} budgets for {len(tables)} tables; give one for all or one each")
    return tuple(TableBudget(table=str(path), budget=text) for path, text in zip(tables, budgets, strict=True))


def _show_cell(current: LanguageRun, as_json: bool) -> None:
    from pipeline.recurrent.space import genotype_of

    architecture = current.architecture()
    goals = current.goals
    found = {
        "genotype": str(genotype_of(architecture.space, architecture.choices)),
        "space": architecture.space.name,
        "params": architecture.params,
        "macs": architecture.macs,
        "predicted_ms": {str(goal.target): goal.table.network_ms(architecture.ops()) for goal in goals},
        "budget_ms": {str(goal.target): goal.budget_ms for goal in goals},
        "architecture": str(current.architecture_path),
    }

    def text() -> None:
        facts({name: found[name] for name in ("genotype", "space", "params", "macs")})
        for goal in goals:
            ms = goal.table.network_ms(architecture.ops())
            print(f"{goal.target}: predicted {ms:.4f} ms a token of {goal.budget_ms:.4f} ms")
        print(current.architecture_path)

    show(found, as_json, text)
