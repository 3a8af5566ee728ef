"""Commands about spaces and latency tables."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import ProgressBars, facts, print_table, show
from pipeline.cli.options import Json, TableFile, picture_file

if TYPE_CHECKING:
    from latency_tables.table import LatencyTable
    from pipeline.profiling import Workload
    from profilers.op_spec import OpSpec
    from profilers.target import Target

table_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


def spaces(json: Json = False) -> None:
    """List search spaces and strategies."""
    from pipeline.spaces import SPACES
    from pipeline.strategies import STRATEGIES

    described = {
        "spaces": {name: space.description for name, space in SPACES.items()},
        "strategies": {name: strategy.description for name, strategy in STRATEGIES.items()},
    }

    def text() -> None:
        for kind, entries in described.items():
            print_table([kind, "what it is"], [[name, line] for name, line in entries.items()])

    show(described, json, text)


def profile(
    target: Annotated[list[str], typer.Option(help="Where to measure, as in local:litert?threads=2; may be repeated.")],
    space: Annotated[str | None, typer.Option(help="Measure every operation of this search space.")] = None,
    op: Annotated[list[str] | None, typer.Option(help="Measure this operation; may be repeated.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The table to write; by default tables/<space>/<target>.yaml.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="quick, standard or final.")] = "standard",
    networks: Annotated[
        int | None,
        typer.Option(help="Whole networks to calibrate with, at most, 24 by default; fewer where they suffice.", min=0),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(help="Infer from this table of another device what is not measured; may be repeated."),
    ] = None,
    measurements: Annotated[
        int | None, typer.Option(help="With --like: what to measure, in all; 10 by default.", min=1)
    ] = None,
    lan: Annotated[
        bool, typer.Option("--lan", help="Let a browser in the local network measure, not only here.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure a latency table. A second call goes on where the first one stopped, and adds what is missing."""
    from pipeline.profiling import profile as measure
    from profilers.protocol import protocol_named

    if space is None and not op:
        raise typer.BadParameter("give --space, --op, or both")
    if measurements is not None and not like:
        raise typer.BadParameter("--measurements counts what is measured with --like; give a TABLE to be like")
    if networks is not None and like:
        raise typer.BadParameter("--like chooses itself what to measure: --measurements says how much in all")
    if output is not None and len(target) > 1:
        raise typer.BadParameter("-o names one table, but several targets are given")
    folder = Path("tables") / (space or "operations").replace("?", "-").replace("&", "-")
    paths = {each: output or folder / f"{each.slug}.yaml" for each in _targets(target, lan)}
    with ProgressBars() as bars:
        if like:
            measured = _profile_like(like, space, op or [], paths, protocol, measurements or 10, bars)
        else:
            measured = measure(
                _workload(space, op or [], 24 if networks is None else networks),
                paths,
                protocol_named(protocol),
                watch=bars,
            )
    found = [_summary(table) for table in measured.values()]

    def text() -> None:
        for table in measured.values():
            print(f"{table.path}: {table.summary()}")

    show({"tables": found}, json, text)


@table_app.command("show")
def table_show(
    table: TableFile,
    other: Annotated[
        Path | None, typer.Argument(help="A second table, to draw two devices side by side.", metavar="[OTHER]")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw what costs what instead: .svg or .png.", callback=picture_file)
    ] = None,
    json: Json = False,
) -> None:
    """Print a table: how it was obtained, then what each operation costs. With --plot, draw it."""
    from latency_tables.table_file import load_table

    if plot is not None:
        _draw(table, other, plot)
        show({"picture": str(plot)}, json, lambda: print(plot))
        return
    if other is not None:
        raise typer.BadParameter("a second table is for --plot; millis table diff prints two side by side")
    loaded = load_table(table)
    times = {"median_ms": "median ms", "mean_ms": "mean ms", "p90_ms": "p90 ms"}
    told = [name for name in times if any(getattr(each, name) is not None for each in loaded.entries.values())]
    rows = []
    for op, each in loaded.entries.items():
        made = [f"{each.spread:.1%}", str(each.samples or ""), each.verdict, each.source]
        rows.append([str(op), *(_ms(getattr(each, name)) for name in told), *made])

    def text() -> None:
        facts({"target": loaded.target, **loaded.environment.facts, "protocol": loaded.protocol.describe()})
        print(loaded.summary())
        columns = ["operation", *(times[name] for name in told), "spread", "samples", "verdict", "source"]
        print_table(columns, rows)

    show(_summary(loaded) | {"entries": _entries(loaded)}, json, text)


@table_app.command("diff")
def table_diff(first: TableFile, second: TableFile, json: Json = False) -> None:
    """Compare two tables, operation by operation."""
    from statistics import median

    from latency_tables.diff import diff
    from latency_tables.table_file import load_table

    differences = diff(load_table(first), load_table(second))
    ratios = [each.ratio for each in differences if each.ratio is not None]
    within = sum(abs(ratio - 1) <= 0.03 for ratio in ratios)

    def text() -> None:
        rows = [
            [str(each.op), _ms(each.first_ms), _ms(each.second_ms), "" if each.ratio is None else f"{each.ratio:.3f}"]
            for each in differences
        ]
        print_table(["operation", "first ms", "second ms", "ratio"], rows)
        if ratios:
            print(f"median ratio {median(ratios):.3f}; {within} of {len(ratios)} operations within 3%")
        if len(ratios) < len(differences):
            print(f"{len(differences) - len(ratios)} operations stand in one table only")

    found = [
        {"op": str(each.op), "first_ms": each.first_ms, "second_ms": each.second_ms, "ratio": each.ratio}
        for each in differences
    ]
    show({"operations": found, "within_3pct": within / len(ratios) if ratios else None}, json, text)


def _draw(table: Path, other: Path | None, picture: Path) -> None:
    from latency_tables.table_file import load_table
    from pipeline.plotting import write_picture
    from pipeline.table_pictures import device_picture
    from pipeline.two_devices_picture import two_devices_picture

    first = load_table(table)
    figure = device_picture(first) if other is None else two_devices_picture(first, load_table(other))
    write_picture(figure, picture)


def _targets(texts: list[str], lan: bool) -> list[Target]:
    from dataclasses import replace

    from profilers.target import Target

    targets = [Target.parse(text) for text in texts]
    if not lan:
        return targets
    if not any(target.device == "browser" for target in targets):
        raise typer.BadParameter("--lan is for a browser: --target browser:litert")
    return [replace(target, device="browser:lan") if target.device == "browser" else target for target in targets]


def _profile_like(
    like: list[Path],
    space: str | None,
    op: list[str],
    paths: dict[Target, Path],
    protocol: str,
    measurements: int,
    bars: ProgressBars,
) -> dict[Target, LatencyTable]:
    from latency_tables.table_file import load_table
    from pipeline.like import profile_like
    from pipeline.spaces import parse_space
    from profilers.protocol import protocol_named

    if space is None or op:
        raise typer.BadParameter("--like infers the table of a whole space: give --space, and no --op")
    others = [load_table(path) for path in like]
    known = protocol_named(protocol)
    return profile_like(others, parse_space(space), paths, known, measurements=measurements, watch=bars)


def _workload(space: str | None, op: list[str], networks: int) -> Workload:
    from pipeline.profiling import Workload
    from pipeline.spaces import parse_space

    extra = tuple(_parse_op(text) for text in op)
    if space is None:
        return Workload(ops=extra)
    return Workload.of(parse_space(space), networks=networks, extra_ops=extra)


def _parse_op(text: str) -> OpSpec:
    from profilers.op_spec import OpSpec

    try:
        return OpSpec.parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"--op {error}") from None


def _summary(table: LatencyTable) -> dict[str, object]:
    return {
        "table": str(table.path),
        "target": str(table.target),
        "operations": len(table.entries),
        "noisy": [str(op) for op in table.noisy],
        "environment": dict(table.environment.facts),
        "summary": table.summary(),
    }


def _entries(table: LatencyTable) -> dict[str, object]:
    from dataclasses import asdict

    return {str(op): asdict(latency) for op, latency in table.entries.items()}


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
