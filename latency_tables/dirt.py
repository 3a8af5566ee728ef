"""What is wrong with rows that each look right: found by comparing them, with one another and with other tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from latency_tables.foreign import UNIT_MS, ForeignRow, Problem, Unit
from latency_tables.table import Latency
from profilers.op_spec import OpSpec
from profilers.precision import Precision

# From one thread of a microcontroller to a whole accelerator, in operations large enough to tell.
PLAUSIBLE_GMACS_PER_S = (0.02, 1000.0)
LARGE_MACS = 100_000
# Latencies told with fewer digits agree by chance.
TELLING_DIGITS = 4

Problems = dict[int, Problem]  # by the place of the row


def of_another_precision(rows: Sequence[ForeignRow], precision: Precision) -> Problems:
    return {
        place: row.problem(
            "another target", f"of precision {row.precision}; name it: --runtime 'RUNTIME?precision={row.precision}'"
        )
        for place, row in enumerate(rows)
        if row.precision not in {None, precision}
    }


def unsteady(rows: Sequence[ForeignRow], max_spread: float) -> Problems:
    return {
        place: row.problem("spread", f"spread {row.latency.spread:.0%}, above {max_spread:.0%} (--max-spread)")
        for place, row in enumerate(rows)
        if not row.latency.spread <= max_spread
    }


def repeated(rows: Sequence[ForeignRow]) -> Problems:
    """Operations that stand there twice: all of them where their values differ, all but the first where they agree."""
    by_op: dict[OpSpec, list[int]] = {}
    for place, row in enumerate(rows):
        by_op.setdefault(row.op, []).append(place)
    problems: Problems = {}
    for places in by_op.values():
        first, *more = places
        if all(rows[place].latency == rows[first].latency for place in more):
            same = f"line {rows[first].line} says the same of {str(rows[first].op)!r}"
            problems |= {place: rows[place].problem("duplicate", same) for place in more}
            continue
        for place in places:
            lines = ", ".join(str(rows[other].line) for other in places if other != place)
            problems[place] = rows[place].problem("conflict", f"line {lines} says otherwise of {str(rows[place].op)!r}")
    return problems


def copied(rows: Sequence[ForeignRow], told: Mapping[OpSpec, Latency], source: str) -> Problems:
    """Rows that repeat to the digit what another device's table says.

    Latencies of few digits agree by chance: they count only where most operations that both tables hold agree.
    """
    common = [place for place, row in enumerate(rows) if row.op in told]
    same = {place: _digits(rows[place].latency) & _digits(told[rows[place].op]) for place in common}
    most = sum(map(bool, same.values())) * 2 > len(common)
    return {
        place: rows[place].problem("copied", f"to the digit what {source} says, which is of another device")
        for place, digits in same.items()
        if digits and (most or max(map(_count_digits, digits)) >= TELLING_DIGITS)
    }


def implausible(entries: Mapping[OpSpec, Latency], unit: Unit) -> list[Problem]:
    """A whole file whose numbers are of another unit: speeds that no device has."""
    low, high = PLAUSIBLE_GMACS_PER_S
    large = {op: latency for op, latency in entries.items() if op.macs >= LARGE_MACS}
    speeds = [op.macs / 1e6 / max(_known_ms(latency)) for op, latency in large.items()]
    if not speeds or low <= median(speeds) <= high:
        return []
    typical = median(speeds)
    fitting = [other for other in UNIT_MS if low <= typical * UNIT_MS[unit] / UNIT_MS[other] <= high]
    advice = "; ".join(f"--unit {other} where its numbers are {_UNIT_NAMES[other]}" for other in fitting)
    text = f"read as {_UNIT_NAMES[unit]}, most of it would run at {typical:.3g} GMAC/s, as no device does"
    return [Problem(kind="unit", text=f"{text}; {advice or f'--unit {unit} where it is so'}")]


_UNIT_NAMES: dict[Unit, str] = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}


def _known_ms(latency: Latency) -> list[float]:
    return [value for value in (latency.median_ms, latency.mean_ms, latency.p90_ms) if value is not None]


def _digits(latency: Latency) -> set[str]:
    """Six of them, as many as our own tables keep."""
    return {f"{value:.5e}" for value in _known_ms(latency)}


def _count_digits(number: str) -> int:
    return len(number.partition("e")[0].replace(".", "").rstrip("0"))
