"""Commands that search, train, compare and export recurrent cells for language models."""

from __future__ import annotations

from dataclasses import asdict, replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import ProgressBars, facts, print_table, show
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.recurrent.models import TrainedRecord
    from pipeline.recurrent.plan import LanguagePlan, LanguageRun, TableBudget
    from pipeline.recurrent.search import CellSearchEpoch
    from pipeline.recurrent.settings import Level
    from pipeline.recurrent.training import Evaluation

language_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

TextFile = Annotated[Path, typer.Argument(help="A text in UTF-8, or packed as .gz.", metavar="TEXT")]
RunFolder = Annotated[Path, typer.Argument(help="The folder of a language run.", metavar="RUN")]
LevelOption = Annotated[str, typer.Option("--level", help="What a token is: char or word.")]
Hidden = Annotated[int, typer.Option(help="Size of the cell's state and of the embedding.", min=1)]
Cell = Annotated[
    str,
    typer.Option(help="searched, lstm, darts-rnn-v1, darts-rnn-v2, enas-rnn, or written out: 'tanh<0 relu<1'."),
]


@language_app.command("text")
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


@language_app.command("search")
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
    learning_rate: Annotated[float, typer.Option(help="Of the weights.")] = 20.0,
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
    changes = {"batch_size": batch, "bptt": bptt, "learning_rate": learning_rate}
    try:
        settings = CellSearchSettings(
            epochs=epochs,
            regime=replace(SEARCH_REGIME.with_dropout(factor), **changes),  # type: ignore[arg-type]
            alpha_learning_rate=alpha_learning_rate,
            order=2 if order == 2 else 1,
        )
        regime = replace(Regime().with_dropout(factor), **changes)  # type: ignore[arg-type]
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
    _show_cell(_run(output), json)


@language_app.command("derive")
def derive(
    run: RunFolder,
    table: Annotated[list[Path] | None, typer.Option(help="Other tables than those of the search.")] = None,
    budget: Annotated[list[str] | None, typer.Option(help="Another budget; one for all tables or one each.")] = None,
    json: Json = False,
) -> None:
    """Derive the cell of a finished search under another budget, or from other tables."""
    current = _run(run)
    tables = table or [Path(each.table) for each in current.plan.targets]
    try:
        targets = _targets(tables, budget or [each.budget for each in current.plan.targets])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    plan = replace(current.plan, targets=targets)
    from pipeline.recurrent.plan import LanguageRun

    changed = LanguageRun(folder=run, plan=plan)
    architecture = changed.derive()
    plan.save(run)
    architecture.save(changed.architecture_path)
    _show_cell(changed, json)


@language_app.command("train")
def train(
    run: RunFolder,
    cell: Cell = "searched",
    steps: Annotated[int | None, typer.Option(help="Segments to train with in all.", min=1)] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes to train in all.")] = None,
    json: Json = False,
) -> None:
    """Train a language model around a cell; a second call goes on to more steps or minutes. Then test it."""
    from pipeline.recurrent import models

    if steps is None and minutes is None:
        raise typer.BadParameter("give --steps, --minutes, or both")
    with ProgressBars() as bars:
        record = models.train(
            _run(run),
            cell,
            steps=inf if steps is None else steps,
            seconds=inf if minutes is None else 60 * minutes,
            on_evaluation=lambda each: bars.note(_told(cell, each)),
        )
    show(record.told, json, lambda: facts(record.told))


@language_app.command("compare")
def compare(
    run: RunFolder,
    minutes: Annotated[float, typer.Option(help="Minutes to train each in all.")],
    cell: Annotated[list[str] | None, typer.Option(help="What to compare; by default searched and lstm.")] = None,
    json: Json = False,
) -> None:
    """Train cells for the same time, the LSTM at equal size, and show what they reach."""
    from pipeline.recurrent import models

    with ProgressBars() as bars:
        records = models.compare(
            _run(run),
            cell or [models.SEARCHED, models.LSTM],
            60 * minutes,
            lambda name, each: bars.note(_told(name, each)),
        )
    show({"models": [record.told for record in records]}, json, lambda: _print_records(records))


@language_app.command("sample")
def sample(
    run: RunFolder,
    cell: Cell = "searched",
    prompt: Annotated[str, typer.Option(help="What the text begins with.")] = "\n",
    length: Annotated[int, typer.Option(help="Tokens to write.", min=1)] = 400,
    temperature: Annotated[float, typer.Option(help="Below 1 more careful, above it bolder.")] = 0.8,
    seed: Annotated[int, typer.Option(help="Fixes the draw.")] = 0,
    json: Json = False,
) -> None:
    """Let a trained model write."""
    from pipeline.recurrent.models import trained_model
    from pipeline.recurrent.sampling import sample as write

    current = _run(run)
    model = trained_model(current, cell)
    written = write(model, current.corpus.vocabulary, prompt, length, temperature=temperature, seed=seed)
    show({"text": written}, json, lambda: print(written))


@language_app.command("export")
def export(
    run: RunFolder,
    cell: Cell = "searched",
    to: Annotated[str, typer.Option(help="Runtimes to write a file for.")] = "onnxruntime,litert",
    tokens: Annotated[int, typer.Option(help="Of the validation part, over which parity is checked.", min=1)] = 500,
    json: Json = False,
) -> None:
    """Write the model as one step, token and state to logits and state, and check it over a text."""
    from pipeline.recurrent.exporting import export_cell

    files = export_cell(_run(run), cell, to.split(","), tokens)

    def text() -> None:
        rows = [
            [each.path, f"{each.size_bytes / 1024:.0f} KiB", str(each.tokens), f"{each.max_abs_difference:.2g}",
             f"{each.same_guess:.2%}"]
            for each in files
        ]  # fmt: skip
        print_table(["file", "size", "tokens checked", "off by at most", "same guess"], rows)

    show({"files": [asdict(each) for each in files]}, json, text)


@language_app.command("measure")
def measure(
    run: RunFolder,
    target: Annotated[list[str], typer.Option(help="Where to measure, as in local:litert; may be repeated.")],
    cell: Annotated[list[str] | None, typer.Option(help="What to measure; by default searched and lstm.")] = None,
    protocol: Annotated[str, typer.Option(help="quick, standard or final.")] = "standard",
    json: Json = False,
) -> None:
    """Measure what one step of trained models takes."""
    from pipeline.recurrent.measuring import measured_steps

    with ProgressBars() as bars:
        found = measured_steps(_run(run), cell or ["searched", "lstm"], target, bars, protocol)

    def text() -> None:
        rows = [
            [each.target, each.cell, f"{each.measured_ms:.4f}", _or_empty(each.predicted_ms), f"{each.spread:.1%}",
             each.verdict]
            for each in found
        ]  # fmt: skip
        print_table(["target", "cell", "measured ms", "predicted ms", "spread", "verdict"], rows)

    show({"steps": [asdict(each) for each in found]}, json, text)


def _run(folder: Path) -> LanguageRun:
    from pipeline.recurrent.plan import LanguageRun, load_language_plan

    return LanguageRun(folder=folder, plan=load_language_plan(folder))


def _search(folder: Path, plan: LanguagePlan) -> None:
    from pipeline.derivation import require_feasible
    from pipeline.metrics import Metrics
    from pipeline.recurrent.plan import LanguageRun
    from pipeline.recurrent.search import CellSearch

    current = LanguageRun(folder=folder, plan=plan)
    require_feasible(current.space, current.goals)  # before an earlier run here loses its plan
    task = current.search_task()
    plan.save(folder)
    anew = not task.path.exists()
    with ProgressBars() as bars, Metrics(folder, "search", anew=anew) as metrics:

        def tell(epoch: CellSearchEpoch) -> None:
            metrics.tell(epoch.epoch, asdict(epoch))
            bars.note(
                f"search: epoch {epoch.epoch} of {plan.search.epochs}, {epoch.train_loss:.3f} nats a token, validation "
                f"{epoch.validation_loss:.3f}; {epoch.genotype}"
            )
            bars.progress("search", epoch.epoch, plan.search.epochs)

        result = CellSearch.begin(task).run(tell)
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


def _told(cell: str, each: Evaluation) -> str:
    return (
        f"{cell}: step {each.step}, {each.seconds:.0f} s, {each.train_loss:.3f} nats a token, "
        f"validation {each.validation_loss:.3f}{', averaging' if each.averaging else ''}"
    )


def _print_records(records: list[TrainedRecord]) -> None:
    columns = ["cell", "size", "params", "steps", "seconds", "validation", "test", "test bits", "averaged"]
    rows = []
    for record in records:
        told = record.told
        figures = [f"{told[name]:.3f}" for name in ("validation_perplexity", "test_perplexity", "test_bits")]
        counts = [str(record.size), f"{record.params:,}", str(record.steps), f"{record.seconds:.0f}"]
        rows.append([record.cell, *counts, *figures, "yes" if record.averaged else "no"])
    print_table(columns, rows)
    print("validation and test are perplexities a token")


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


def _or_empty(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
