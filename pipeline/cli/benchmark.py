"""The command that measures finished models: bundles, runs, files of one's own and of anybody's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import ProgressBars, facts, print_table, show
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.benchmarking import Benchmark, Result
    from profilers.protocol import Protocol
    from profilers.target import Target

Models = Annotated[
    list[Path],
    typer.Argument(help="Files, bundles, runs; several are measured in turns.", metavar="MODEL|BUNDLE|RUN"),
]


def benchmark(
    models: Models,
    target: Annotated[str, typer.Option(help="Where to measure, as in local:litert?threads=2.")],
    table: Annotated[Path | None, typer.Option(help="A latency table to predict bundles and runs by.")] = None,
    protocol: Annotated[str, typer.Option(help="quick, standard or final.")] = "standard",
    shape: Annotated[
        list[str] | None,
        typer.Option(help="Sizes of an input that the file leaves open, NAME=1x3x224x224; otherwise 1. Repeat."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Keep every raw time in this .jsonl, and go on from there.")
    ] = None,
    mlperf: Annotated[Path | None, typer.Option(help="Also write the results in MLPerf Mobile's form, .json.")] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="Also write what each operation takes, for Model Explorer, .json.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure models on a target, beside what a table or their bundle promised.

    Inputs are random; integers wider than a byte are zeros and ones.
    """
    from tempfile import TemporaryDirectory

    from deploy.overlay import require_operations
    from pipeline.benchmarking import document, mlperf_document
    from profilers.devices import require_device
    from profilers.files import write_json
    from profilers.protocol import protocol_named
    from profilers.target import Target

    parsed, known = Target.parse(target), protocol_named(protocol)
    require_device(parsed, float_edges=True)
    if overlay is not None:
        require_operations(parsed)
    with TemporaryDirectory(prefix="millis-benchmark-") as scratch:
        found = _measured(models, parsed, table, known, shape or [], Path(scratch), output, overlay)
    if mlperf is not None:
        write_json(mlperf, mlperf_document(found))
    show(document(found), json, lambda: _print(found))


def _measured(
    models: list[Path],
    target: Target,
    table: Path | None,
    protocol: Protocol,
    shape: list[str],
    scratch: Path,
    journal: Path | None,
    overlay: Path | None,
) -> Benchmark:
    from latency_tables.table_file import load_table
    from pipeline.benchmarking import benchmark as measure
    from pipeline.benchmarking import shape_of
    from pipeline.subjects import Question, find_subjects

    with ProgressBars() as bars:
        question = Question(
            target=target,
            scratch=scratch,
            watch=bars,
            shapes=dict(map(shape_of, shape)),
            table=None if table is None else load_table(table),
        )
        subjects = find_subjects(models, question)
        if overlay is not None and len(subjects) > 1:
            raise typer.BadParameter("--overlay is of one model; give one")
        found = measure(subjects, target, protocol, journal or scratch / "measurements.jsonl", watch=bars)
        if overlay is not None:
            _write_overlay(found, overlay, bars)
    return found


def _write_overlay(found: Benchmark, path: Path, bars: ProgressBars) -> None:
    from deploy.overlay import measure_overlay
    from profilers.files import write_json

    [result] = found.results
    assert result.latency.median_ms is not None  # of what was measured here
    overlay = measure_overlay(result.subject.artifact, found.target, result.latency.median_ms, bars.note)
    write_json(path, overlay.document())
    bars.note(f"{path}: {overlay.how}")


def _print(found: Benchmark) -> None:
    facts({"target": found.target, **found.environment.facts, "protocol": found.protocol.describe()})
    promised = any(result.outcome for result in found.results)
    compared = len(found.results) > 1
    columns = ["model", "inputs", "median ms", "p90 ms", "spread", "samples", "verdict"]
    columns += ["promised ms", "as promised", "difference"] if promised else []
    columns += ["times the first"] if compared else []
    rows = []
    for result in found.results:
        told = _promise_cells(result) if promised else []
        rows.append([*_cells(result), *told, *([_ratio(result)] if compared else [])])
    print_table(columns, rows)
    for note in found.notes:
        print(note)


def _cells(result: Result) -> list[str]:
    latency = result.latency
    times = [f"{ms:.4f}" if ms is not None else "" for ms in (latency.median_ms, latency.p90_ms)]
    steadiness = [f"{latency.spread:.1%}", str(latency.samples), latency.verdict]
    return [_short(result.subject.name, 46), _short(result.subject.inputs, 28), *times, *steadiness]


def _short(text: str, most: int) -> str:
    """The end of it, which tells files apart: no number beside it may be cut off."""
    return text if len(text) <= most else f"…{text[1 - most :]}"


def _promise_cells(result: Result) -> list[str]:
    outcome = result.outcome
    if outcome is None:
        return ["", "", ""]
    (low_ms, high_ms), difference = outcome.interval_ms, outcome.difference
    told = [f"{outcome.promise.ms:.4f}", f"{low_ms:.4f} to {high_ms:.4f}"]
    return [*told, "" if difference is None else f"{difference:+.1%}"]


def _ratio(result: Result) -> str:
    ratio = result.ratio
    return "" if ratio is None else f"{ratio.median:.3f} ({ratio.least:.3f} to {ratio.most:.3f})"
