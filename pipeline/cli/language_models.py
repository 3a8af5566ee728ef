"""Commands that train, compare, sample, export and measure language models around recurrent cells."""

from __future__ import annotations

from dataclasses import asdict
from math import inf
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import ProgressBars, facts, print_table, show
from pipeline.cli.language import RunFolder, language_run
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.recurrent.models import TrainedRecord

Cell = Annotated[
    str,
    typer.Option(help="searched, lstm, darts-rnn-v1, darts-rnn-v2, enas-rnn, or written out: 'tanh<0 relu<1'."),
]


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
            language_run(run),
            cell,
            steps=inf if steps is None else steps,
            seconds=inf if minutes is None else 60 * minutes,
            on_evaluation=lambda each: bars.note(each.told_of(cell)),
        )
    show(record.told, json, lambda: facts(record.told))


def compare(
    run: RunFolder,
    minutes: Annotated[float, typer.Option(help="Minutes to train each in all.")],
    cell: Annotated[list[str] | None, typer.Option(help="What to compare; by default searched and lstm.")] = None,
    json: Json = False,
) -> None:
    """Train cells for the same time, the LSTM at equal size, and show what they reach."""
    from pipeline.recurrent import models
    from pipeline.recurrent.plan import LSTM, SEARCHED

    with ProgressBars() as bars:
        records = models.compare(
            language_run(run),
            cell or [SEARCHED, LSTM],
            60 * minutes,
            lambda name, each: bars.note(each.told_of(name)),
        )
    show({"models": [record.told for record in records]}, json, lambda: _print_records(records))


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

    current = language_run(run)
    model = trained_model(current, cell)
    written = write(model, current.corpus.vocabulary, prompt, length, temperature=temperature, seed=seed)
    show({"text": written}, json, lambda: print(written))


def export(
    run: RunFolder,
    cell: Cell = "searched",
    to: Annotated[str, typer.Option(help="Runtimes to write a file for.")] = "onnxruntime,litert",
    tokens: Annotated[int, typer.Option(help="Of the validation part, over which parity is checked.", min=1)] = 500,
    json: Json = False,
) -> None:
    """Write the model as one step, token and state to logits and state, and check it over a text."""
    from pipeline.recurrent.exporting import export_cell

    files = export_cell(language_run(run), cell, to.split(","), tokens)

    def text() -> None:
        rows = [
            [each.path, f"{each.size_bytes / 1024:.0f} KiB", str(each.tokens), f"{each.max_abs_difference:.2g}",
             f"{each.same_guess:.2%}"]
            for each in files
        ]  # fmt: skip
        print_table(["file", "size", "tokens checked", "off by at most", "same guess"], rows)

    show({"files": [asdict(each) for each in files]}, json, text)


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
        found = measured_steps(language_run(run), cell or ["searched", "lstm"], target, bars, protocol)

    def text() -> None:
        rows = [
            [each.target, each.cell, f"{each.measured_ms:.4f}", _or_empty(each.predicted_ms), f"{each.spread:.1%}",
             each.verdict]
            for each in found
        ]  # fmt: skip
        print_table(["target", "cell", "measured ms", "predicted ms", "spread", "verdict"], rows)

    show({"steps": [asdict(each) for each in found]}, json, text)


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


def _or_empty(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
