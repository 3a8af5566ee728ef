"""Comma-separated values: our own words for operations, and milliseconds.

    op,median_ms,p90_ms,spread,samples
    mbconv in=28x28x24 out=40 kernel=5 stride=2 expand=6,4.31,4.5,0.02,1000

Of median_ms, mean_ms and p90_ms at least one stands there, and the one that stands first is what counts; spread is the
standard deviation relative to it, samples how many inferences there were.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from functools import partial

from latency_tables.errors import TableImportError
from latency_tables.foreign import (
    ForeignRow,
    ForeignTable,
    Problem,
    RawRow,
    RowError,
    Unit,
    as_written,
    count,
    imported,
    number,
    read_rows,
)
from latency_tables.table import Latency
from profilers.op_spec import OpSpec
from profilers.precision import Precision
from profilers.protocol import Statistic
from profilers.target import Target

DESCRIPTION = "plain CSV: operations in millis's own words, columns median_ms, mean_ms or p90_ms"
UNIT: Unit = "ms"

_TIMES: dict[str, Statistic] = {"median_ms": "median", "mean_ms": "mean", "p90_ms": "p90"}
_COLUMNS = (*_TIMES, "spread", "samples")


def read(text: str) -> ForeignTable:
    lines = _lines(text)
    _, header = next(lines, (0, []))
    header = [name.strip() for name in header]
    unknown = [name for name in header if name not in {"op", *_COLUMNS}]
    if "op" not in header or not set(header) & set(_TIMES) or unknown or len(header) != len(set(header)):
        raise TableImportError(f"the first line should name columns: op, and some of {', '.join(_COLUMNS)}")
    column = next(name for name in header if name in _TIMES)
    raws = (_raw(line, header, cells) for line, cells in lines if cells)
    return read_rows(raws, _TIMES[column], partial(_row, column=column))


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of each row."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as error:
        raise TableImportError(f"line {reader.line_num}: not CSV: {error}") from None


def _raw(line: int, header: list[str], cells: list[str]) -> RawRow | Problem:
    if len(cells) != len(header):
        return Problem(kind="ragged", text=f"{len(cells)} cells under {len(header)} columns", line=line, key=cells[0])
    values = dict(zip(header, (cell.strip() for cell in cells), strict=True))
    return RawRow(line, values.pop("op"), {name: as_written(cell) for name, cell in values.items()})


def _row(raw: RawRow, *, column: str) -> ForeignRow:
    try:
        op = op_of(raw.key)
    except ValueError as error:
        raise RowError("key", str(error)[:200]) from None
    told = {name: number(name, value) for name, value in raw.fields.items() if value != "" or name == column}
    latency = imported(
        median_ms=told.get("median_ms"),
        mean_ms=told.get("mean_ms"),
        p90_ms=told.get("p90_ms"),
        spread=told.get("spread", 0.0),
        samples=count("samples", told["samples"]) if told.get("samples") else 0,
    )
    return ForeignRow(line=raw.line, key=raw.key, op=op, latency=latency)


def op_of(key: str) -> OpSpec:
    return OpSpec.parse(key)


def key_of(op: OpSpec, _: Precision) -> str | None:
    return str(op)


def write(entries: Mapping[str, Latency], statistic: Statistic, _: Target) -> str:
    told = [name for name in _TIMES if any(getattr(each, name) is not None for each in entries.values())]
    columns = [*sorted(told, key=lambda name: _TIMES[name] != statistic), "spread", "samples"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["op", *columns])
    for key, latency in entries.items():
        values = (getattr(latency, name) for name in columns)
        writer.writerow([key, *("" if value is None else value for value in values)])
    return text.getvalue()
