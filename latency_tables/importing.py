"""From another project's file to a table of ours: every row is one of ours, or is named."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from latency_tables.dirt import copied, implausible, of_another_precision, repeated, unsteady
from latency_tables.errors import TableImportError
from latency_tables.foreign import (
    MAX_SPREAD,
    UNIT_MS,
    ForeignRow,
    ForeignTable,
    Problem,
    RowError,
    Unit,
    imported,
    printable,
)
from latency_tables.formats import formats, load_format
from latency_tables.table import Latency, LatencyTable
from latency_tables.table_file import load_table
from profilers.environment import Environment
from profilers.errors import FileError
from profilers.op_spec import OpSpec
from profilers.protocol import IMPORTED, Protocol
from profilers.target import Target

MAX_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What is taken. A `unit` other than the format's is believed, whatever speeds it makes."""

    skip_bad: bool = False  # import the rows that are good
    max_spread: float = MAX_SPREAD
    unit: Unit | None = None
    against: tuple[Path, ...] = ()  # tables of other devices, ours or foreign, that no row may repeat


STRICT = Rules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """A table, and what of its source it does not hold."""

    table: LatencyTable
    left_out: tuple[Problem, ...]


def import_table(path: Path, format_name: str, target: Target, rules: Rules = STRICT) -> Import:
    """The table in a file of another project; raises TableImportError with every problem that `rules` do not skip."""
    form = load_format(format_name)
    content = _content(path)
    foreign = _read(path, content, format_name)
    if rules.unit is not None:
        foreign = _scaled(foreign, UNIT_MS[rules.unit] / UNIT_MS[form.UNIT])
    bad = _bad_rows(foreign.rows, target, rules)
    good = {row.op: row.latency for place, row in enumerate(foreign.rows) if place not in bad}
    by_row = sorted([*foreign.problems, *bad.values()], key=lambda problem: problem.line or 0)
    of_file = implausible(good, form.UNIT) if rules.unit is None else []
    if of_file or not good or (by_row and not rules.skip_bad):
        advice = _advice(path, content, format_name, len(good), skippable=not of_file)
        raise _refusal(path, format_name, (*of_file, *by_row), advice)
    table = LatencyTable(
        target=target,
        environment=_provenance(path, content, format_name, rules, f"{len(by_row)} of {len(by_row) + len(good)} rows"),
        protocol=Protocol(name=IMPORTED, statistic=foreign.statistic),
        entries=good,
    )
    return Import(table=table, left_out=tuple(by_row))


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise TableImportError(f"{path}: larger than {MAX_BYTES >> 20} MiB, which no latency table is")
        return path.read_bytes()
    except OSError as error:
        raise TableImportError(f"{path}: {error.strerror or error}") from None


def _read(path: Path, content: bytes, format_name: str) -> ForeignTable:
    try:
        return load_format(format_name).read(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise TableImportError(f"{path}: not text in UTF-8, so no table of {format_name}") from None
    except TableImportError as error:
        raise TableImportError(f"{path}: as {format_name}: {error}") from None


def _scaled(foreign: ForeignTable, factor: float) -> ForeignTable:
    """The same with every latency times `factor`."""
    rows, problems = [], list(foreign.problems)
    for row in foreign.rows:
        try:
            rows.append(replace(row, latency=_times(row.latency, factor)))
        except RowError as error:
            problems.append(row.problem(error.kind, str(error)))
    return replace(foreign, rows=tuple(rows), problems=tuple(problems))


def _times(latency: Latency, factor: float) -> Latency:
    return imported(
        median_ms=None if latency.median_ms is None else latency.median_ms * factor,
        mean_ms=None if latency.mean_ms is None else latency.mean_ms * factor,
        p90_ms=None if latency.p90_ms is None else latency.p90_ms * factor,
        spread=latency.spread,
        samples=latency.samples,
    )


def _bad_rows(rows: Sequence[ForeignRow], target: Target, rules: Rules) -> dict[int, Problem]:
    """The first problem of every row that has one, by its place."""
    problems: dict[int, Problem] = {}
    for path in rules.against:
        problems |= copied(rows, _latencies(path, target), str(path))
    problems |= unsteady(rows, rules.max_spread)
    problems |= repeated(rows)
    return problems | of_another_precision(rows, target.precision)


def _latencies(path: Path, target: Target) -> Mapping[OpSpec, Latency]:
    """What a table of another device says, ours or of any format; raises TableImportError where it is neither."""
    content = _content(path)
    try:
        table = load_table(path)
    except FileError:
        table = None
    if table is None:
        _, most = _best_format(path, content)
        if not most:
            raise TableImportError(f"{path}: to compare with, but no table of millis nor of {', '.join(formats())}")
        return most
    if table.target == target:
        raise TableImportError(f"{path}: to compare with, but of {target} itself; give tables of other devices")
    return table.entries


def _best_format(path: Path, content: bytes) -> tuple[str, Mapping[OpSpec, Latency]]:
    """The format in which most rows make sense, and these."""
    found = {name: _read_or_nothing(path, content, name) for name in formats()}
    best = max(found, key=lambda name: len(found[name]))
    return best, found[best]


def _read_or_nothing(path: Path, content: bytes, format_name: str) -> dict[OpSpec, Latency]:
    try:
        return {row.op: row.latency for row in _read(path, content, format_name).rows}
    except TableImportError:
        return {}


def _advice(path: Path, content: bytes, format_name: str, good: int, *, skippable: bool) -> str:
    if good:
        return f". Import the other {good} rows with --skip-bad" if skippable else ""
    best, rows = _best_format(path, content)
    return f". As {best} it would have {len(rows)} rows" if rows and best != format_name else ""


def _refusal(path: Path, format_name: str, problems: Sequence[Problem], advice: str) -> TableImportError:
    if not problems:
        return TableImportError(f"{path}: as {format_name}: holds no rows")
    count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
    shown = "; ".join(map(str, problems[:3]))
    more = f"; and {len(problems) - 3} more (--json lists all)" if len(problems) > 3 else ""
    return TableImportError(f"{path}: {count}, read as {format_name}: {shown}{more}{advice}", tuple(problems))


def _provenance(path: Path, content: bytes, format_name: str, rules: Rules, left_out: str) -> Environment:
    facts = {
        "source": printable(path.name),
        "source_format": format_name,
        "source_sha256": hashlib.sha256(content).hexdigest(),
    }
    if rules.unit is not None:
        facts["source_unit"] = rules.unit
    if rules.max_spread != MAX_SPREAD:
        facts["max_spread"] = f"{rules.max_spread:.0%}"
    if not left_out.startswith("0 "):
        facts["left_out"] = left_out
    return Environment(facts)
