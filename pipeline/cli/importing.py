"""Commands that bring tables in from other projects and take them out again."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import print_table, show
from pipeline.cli.options import Json, TableFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from latency_tables.foreign import Problem, Unit
    from latency_tables.table import LatencyTable
    from profilers.op_spec import OpSpec
    from profilers.target import Target

FormatName = Annotated[str, typer.Option("--format", help="Whose words it is in; `millis table formats` lists them.")]


def table_formats(json: Json = False) -> None:
    """List the formats of tables that can be imported and exported."""
    from latency_tables.formats import formats, load_format

    described = {name: load_format(name).DESCRIPTION for name in formats()}
    show(described, json, lambda: print_table(["format", "what it is"], [[*each] for each in described.items()]))


def table_import(
    file: Annotated[Path, typer.Argument(help="A table of another project.", metavar="FILE")],
    format: FormatName,
    name: Annotated[str, typer.Option("--as", help="The device that it was measured on.", metavar="DEVICE")],
    runtime: Annotated[str, typer.Option(help="What ran there, as in litert?precision=int8.")] = "litert",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Import what is good, list what is left out.")] = False,
    max_spread: Annotated[str, typer.Option(help="How unsteady a row may be.", metavar="PERCENT")] = "20%",
    unit: Annotated[str | None, typer.Option(help="s, ms or us, where it is not the format's.")] = None,
    against: Annotated[
        list[Path] | None, typer.Option(help="A table of another device, which no row may repeat; may be repeated.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The table to write; by default tables/imported/….yaml.")
    ] = None,
    json: Json = False,
) -> None:
    """Import a latency table of another project. Whatever is wrong with it is named by row."""
    from latency_tables.errors import TableImportError
    from latency_tables.importing import Rules, import_table
    from latency_tables.table_file import save_table

    others = tuple(against or ())
    rules = Rules(skip_bad=skip_bad, max_spread=_percent(max_spread), unit=_unit(unit), against=others)
    target = _elsewhere(name, runtime)
    path = output or Path("tables") / "imported" / f"{target.slug}.yaml"
    _require_free(path, target)
    try:
        imported = import_table(file, format, target, rules)
    except TableImportError as error:
        if json:
            show({"table": None, "operations": 0, "problems": _problems(error.problems)}, json, lambda: None)
        raise
    save_table(imported.table, path)

    def text() -> None:
        print(f"{path}: {imported.table.summary()}")
        if imported.left_out:
            print(f"left out of {file}, {len(imported.left_out)} rows:")
        for problem in imported.left_out:
            print(f"  {problem}")

    problems = _problems(imported.left_out)
    show({"table": str(path), "operations": len(imported.table.entries), "problems": problems}, json, text)


def table_export(
    table: TableFile,
    format: FormatName,
    output: Annotated[Path, typer.Option("-o", "--output", help="The file to write.", metavar="FILE")],
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out what the format cannot say.")] = False,
    json: Json = False,
) -> None:
    """Write what a table's operations cost alone as a table of another project."""
    from latency_tables.exporting import export_table
    from latency_tables.table_file import load_table
    from profilers.files import write_atomic

    loaded = load_table(table)
    if output.resolve() == table.resolve():
        raise typer.BadParameter(f"-o {output} is the table itself")
    exported = export_table(loaded, format, skip_bad=skip_bad)
    write_atomic(output, exported.text)
    written = len(loaded.entries) - len(exported.left_out)

    def text() -> None:
        print(f"{output}: {loaded.protocol.statistic} of {written} operations alone, as {format}")
        for op in exported.left_out:
            print(f"  left out: {op}")

    show({"file": str(output), "operations": written, "left_out": [str(op) for op in exported.left_out]}, json, text)


def table_missing(
    table: TableFile,
    space: Annotated[str, typer.Option(help="The search space that the table is for.")],
    json: Json = False,
) -> None:
    """List what a table lacks of a search space, and what would measure it."""
    from latency_tables.table_file import load_table
    from pipeline.spaces import parse_space

    loaded = load_table(table)
    wanted = parse_space(space).op_specs()
    missing = [op for op in wanted if op not in loaded.entries]
    keys = _keys(loaded, missing)
    command = None if keys is not None else _profile_command(loaded, missing)

    def text() -> None:
        print(f"{table}: holds {len(wanted) - len(missing)} of the {len(wanted)} operations of {space}")
        if not missing:
            return
        print_table(["missing operation", *(["its row there"] if keys else [])], _rows(missing, keys))
        if command is not None:
            print(f"measure them with:\n  {command}")
        else:
            print(f"only {loaded.target} can tell them: add the rows to its file, import it again with -o {table};")
            print(f"or measure such a device yourself: millis profile --space '{space}' --target adb:SERIAL:litert")

    rows = [{"op": str(op), "row": keys.get(op) if keys else None} for op in missing]
    held = len(wanted) - len(missing)
    show({"table": str(table), "space": space, "held": held, "missing": rows, "command": command}, json, text)


def _rows(missing: Iterable[OpSpec], keys: dict[OpSpec, str] | None) -> list[list[str]]:
    return [[str(op), *([keys.get(op, "has none")] if keys else [])] for op in missing]


def _keys(table: LatencyTable, missing: Iterable[OpSpec]) -> dict[OpSpec, str] | None:
    """What names each operation in the format that an imported table came in; None for a table measured here."""
    from latency_tables.exporting import key_in
    from latency_tables.formats import load_format
    from profilers.protocol import IMPORTED

    if table.protocol.name != IMPORTED:
        return None
    form = load_format(table.environment.facts.get("source_format", "plain_csv"))
    keys = {op: key_in(form, op, table.target.precision) for op in missing}
    return {op: key for op, key in keys.items() if key is not None}


def _profile_command(table: LatencyTable, missing: Iterable[OpSpec]) -> str | None:
    asked = [word for op in missing for word in ("--op", str(op))]
    where = ["--target", str(table.target), "-o", str(table.path), "--protocol", table.protocol.name]
    return shlex.join(["millis", "profile", *asked, *where]) if asked else None


def _elsewhere(name: str, runtime: str) -> Target:
    from profilers.files import is_file_name
    from profilers.target import Target

    if not is_file_name(name):
        raise typer.BadParameter(f"--as {name!r}: name the device in letters, digits, dots, dashes and underscores")
    return Target.parse(f"elsewhere:{name}:{runtime}")


def _require_free(path: Path, target: Target) -> None:
    """A table may be imported again, but over no other file."""
    from latency_tables.table_file import load_table
    from profilers.errors import MillisError

    if path.exists() and (found := load_table(path).target) != target:
        raise MillisError(f"{path}: holds a table of {found}; choose another -o")


def _percent(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?%", text):
        raise typer.BadParameter(f"--max-spread {text!r} is no percentage, as 20% is one")
    return float(text.removesuffix("%")) / 100


def _unit(text: str | None) -> Unit | None:
    if text not in {None, "s", "ms", "us"}:
        raise typer.BadParameter(f"--unit {text!r} is none of s, ms, us")
    return text  # type: ignore[return-value]


def _problems(problems: Iterable[Problem]) -> list[dict[str, object]]:
    return [{"line": each.line, "key": each.key, "kind": each.kind, "problem": each.text} for each in problems]
