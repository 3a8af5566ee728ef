"""Rows of other projects' tables, and what can be wrong with one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import Literal

from latency_tables.table import Latency
from profilers.op_spec import OpSpec
from profilers.precision import Precision
from profilers.protocol import Statistic

Unit = Literal["s", "ms", "us"]
UNIT_MS: dict[Unit, float] = {"s": 1e3, "ms": 1.0, "us": 1e-3}

Kind = Literal[
    "key",  # nothing that the format would write
    "no operation",  # an operation that millis has no equal of
    "expansion",  # a ratio where channels belong, channels where a ratio belongs, or a ratio that is not whole
    "shape",  # sizes, stride and shortcut that contradict one another
    "ragged",  # a field too many, missing or given twice
    "not a number",
    "not positive",
    "order",  # percentiles that are not in order
    "spread",  # measured, but too unsteadily
    "duplicate",  # one operation twice, of one value
    "conflict",  # one operation twice, of two values
    "copied",  # to the digit what another device's table says
    "another target",  # of another device or precision than the rest
    "unit",  # of the whole file: values that are plausible in another unit only
]

# What another project calls noisy is not known; a standard deviation of more than a fifth of the mean is.
MAX_SPREAD = 0.2
# Of any size, count or stride; more is a slip of the keyboard.
LARGEST = 65536

_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong with one row, or, without a line, with the whole file."""

    kind: Kind
    text: str
    line: int | None = None
    key: str = ""

    def __str__(self) -> str:
        key = self.key if len(self.key) <= 120 else f"{self.key[:117]}..."
        return printable(self.text if self.line is None else f"line {self.line}, {key}: {self.text}")


class RowError(ValueError):
    """A row that is none of ours; becomes a Problem where its line is known."""

    def __init__(self, kind: Kind, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as its file has it: what names the operation, and fields not yet looked at."""

    line: int
    key: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRow:
    """An operation of ours and what another project's table says of it."""

    line: int
    key: str
    op: OpSpec
    latency: Latency
    precision: Precision | None = None  # where the row itself tells it

    def problem(self, kind: Kind, text: str) -> Problem:
        return Problem(kind=kind, text=text, line=self.line, key=self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignTable:
    """What a format made of a file. `statistic` is what its latencies are."""

    statistic: Statistic
    rows: tuple[ForeignRow, ...]
    problems: tuple[Problem, ...]


def read_rows(
    raws: Iterable[RawRow | Problem], statistic: Statistic, row_of: Callable[[RawRow], ForeignRow]
) -> ForeignTable:
    """Every row as one of ours or as a problem; `row_of` raises RowError."""
    rows: list[ForeignRow] = []
    problems: list[Problem] = []
    for raw in raws:
        if isinstance(raw, Problem):
            problems.append(raw)
            continue
        try:
            row = row_of(raw)
            _check_sizes(row.op)
            rows.append(row)
        except RowError as error:
            problems.append(Problem(kind=error.kind, text=str(error), line=raw.line, key=raw.key))
        except ValueError as error:  # what an operation of ours refuses to be
            problems.append(Problem(kind="no operation", text=str(error), line=raw.line, key=raw.key))
    return ForeignTable(statistic=statistic, rows=tuple(rows), problems=tuple(problems))


def imported(
    *,
    median_ms: float | None = None,
    mean_ms: float | None = None,
    p90_ms: float | None = None,
    spread: float = 0.0,
    samples: int = 0,
) -> Latency:
    """A latency from elsewhere; spread 0 and samples 0 where the source tells none. Raises RowError."""
    for name, value in (("median", median_ms), ("mean", mean_ms), ("90th percentile", p90_ms)):
        if value is not None and not 0 < value < inf:
            raise RowError("not positive", f"{name} {value:g} is not above zero")
    if not 0 <= spread < inf:
        raise RowError("spread", f"spread {spread:g} is none")
    return Latency(
        median_ms=median_ms,
        mean_ms=mean_ms,
        p90_ms=p90_ms,
        spread=spread,
        samples=samples,
        verdict="steady" if spread <= MAX_SPREAD else "noisy",
        source="imported",
    )


def numbers(fields: Mapping[str, object], names: tuple[str, ...]) -> tuple[float, ...]:
    """The values of exactly these fields; raises RowError for others, missing ones, and what is no number."""
    missing = [name for name in names if name not in fields]
    extra = [name for name in fields if name not in names]
    if missing or extra:
        told = [f"lacks {', '.join(missing)}"] if missing else []
        told += [f"has {', '.join(name[:30] for name in extra[:5])}"] if extra else []
        raise RowError("ragged", f"{' and '.join(told)}; the fields of a row are {', '.join(names)}")
    return tuple(number(name, fields[name]) for name in names)


def number(name: str, value: object) -> float:
    """A finite number; raises RowError for anything else, text that only looks like one included."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            if isfinite(value):
                return float(value)
        except OverflowError:  # a whole number that no float holds
            pass
    shown = f"{value!r:.40}"
    raise RowError("not a number", f"{name} is {shown}, not a number")


def count(name: str, value: float) -> int:
    """A whole number of at least one; raises RowError."""
    if value < 1 or value != int(value):
        raise RowError("not positive", f"{name} {value:g} is not a whole number above zero")
    return int(value)


def relative(name: str, deviation: float, mean: float) -> float:
    """A standard deviation as part of the mean; raises RowError where either cannot be one."""
    if deviation < 0 or mean <= 0:
        value, what = (mean, "mean") if mean <= 0 else (deviation, name)
        raise RowError("not positive", f"{what} {value:g} is {'not above zero' if mean <= 0 else 'negative'}")
    return deviation / mean


def as_written(text: str) -> object:
    """A float where the whole text is a number, else the text: `4.o8`, `nan` and `1_000` are none."""
    return float(text) if _NUMBER.fullmatch(text) else text


def printable(text: str) -> str:
    """The text with what a terminal would obey, or could not show, spelt out."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def require_shape(condition: bool, text: str) -> None:
    if not condition:
        raise RowError("shape", text)


def _check_sizes(op: OpSpec) -> None:
    sizes = [*op.in_shape, *(int(digits) for digits in re.findall(r"=([0-9]+)\b", str(op)))]
    require_shape(max(sizes) <= LARGEST, f"a size, stride or count above {LARGEST}")
