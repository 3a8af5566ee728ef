"""Two tables side by side."""

from __future__ import annotations

from dataclasses import dataclass

from latency_tables.table import LatencyTable
from profilers.op_spec import OpSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One operation in two tables, ms; None where a table lacks it."""

    op: OpSpec
    first_ms: float | None
    second_ms: float | None

    @property
    def ratio(self) -> float | None:
        """Second over first."""
        return None if self.first_ms is None or self.second_ms is None else self.second_ms / self.first_ms


def diff(first: LatencyTable, second: LatencyTable) -> tuple[Difference, ...]:
    """Every operation of either table, in the first table's order, then the second's."""
    ops = dict.fromkeys([*first.entries, *second.entries])
    return tuple(Difference(op=op, first_ms=_alone_ms(first, op), second_ms=_alone_ms(second, op)) for op in ops)


def _alone_ms(table: LatencyTable, op: OpSpec) -> float | None:
    return table.alone_ms(op) if op in table.entries else None
