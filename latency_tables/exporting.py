"""From a table of ours to another project's file: all that its format can say, and never anything else."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import NormalDist

from latency_tables.errors import TableExportError
from latency_tables.formats import Format, load_format
from latency_tables.table import Latency, LatencyTable
from profilers.op_spec import OpSpec
from profilers.precision import Precision

# The interquartile range of a normal distribution in standard deviations.
_QUARTILES_APART = 2 * NormalDist().inv_cdf(0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """The text of a file, and the operations that its format has no words for."""

    text: str
    left_out: tuple[OpSpec, ...]


def export_table(table: LatencyTable, format_name: str, *, skip_bad: bool = False) -> Export:
    """What operations cost alone, in a format's words; raises TableExportError for those it has none for.

    With `skip_bad` these are left out.
    """
    form = load_format(format_name)
    keys = {op: key_in(form, op, table.target.precision) for op in table.entries}
    unsaid = tuple(op for op, key in keys.items() if key is None)
    if unsaid and (not skip_bad or len(unsaid) == len(keys)):
        shown = "; ".join(map(str, unsaid[:3])) + (f"; and {len(unsaid) - 3} more" if len(unsaid) > 3 else "")
        raise TableExportError(
            f"{table.path or table.target}: {format_name} has no words for {len(unsaid)} of {len(keys)} operations: "
            f"{shown}" + (" (--skip-bad leaves them out)" if len(unsaid) < len(keys) else ""),
            unsaid,
        )
    rows = {key: _as_told_elsewhere(table.entries[op]) for op, key in keys.items() if key is not None}
    return Export(text=form.write(rows, table.protocol.statistic, table.target), left_out=unsaid)


def key_in(form: Format, op: OpSpec, precision: Precision) -> str | None:
    """What names the operation in a format; None where the format would say something else by it."""
    key = form.key_of(op, precision)
    try:
        return key if key is not None and form.op_of(key) == op else None
    except ValueError:
        return None


def _as_told_elsewhere(latency: Latency) -> Latency:
    """Our own spread is the interquartile range; elsewhere it is the standard deviation."""
    return replace(latency, spread=latency.spread / _QUARTILES_APART) if latency.source == "measured" else latency
