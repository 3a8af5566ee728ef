from __future__ import annotations

from dataclasses import replace

import pytest

from latency_tables.diff import Difference, diff
from latency_tables.table import LatencyTable
from profilers.op_spec import OpSpec


def test_a_table_does_not_differ_from_itself(table: LatencyTable) -> None:
    assert [each.ratio for each in diff(table, table)] == [1.0] * len(table.entries)
    assert [each.op for each in diff(table, table)] == list(table.entries)


def test_what_takes_twice_as_long_has_ratio_two(table: LatencyTable) -> None:
    slower = {op: replace(each, median_ms=2 * table.alone_ms(op)) for op, each in table.entries.items()}
    assert {each.ratio for each in diff(table, replace(table, entries=slower))} == {2.0}


def test_an_operation_of_one_table_only_has_no_ratio(table: LatencyTable) -> None:
    op = OpSpec.parse("classifier in=8x8x8 out=10")
    rest = {other: each for other, each in table.entries.items() if other != op}
    without = replace(table, entries=rest, networks=())
    assert Difference(op=op, first_ms=0.125, second_ms=None) in diff(table, without)
    assert diff(without, table)[-1] == Difference(op=op, first_ms=None, second_ms=0.125)
    assert diff(without, table)[-1].ratio is None


def test_operations_are_compared_as_they_cost_alone(table: LatencyTable) -> None:
    plain = replace(table, networks=())
    assert [each.ratio for each in diff(table, plain)] == [1.0] * len(table.entries)
    assert [each.first_ms for each in diff(table, plain)] == [each.median_ms for each in table.entries.values()]


def test_each_table_is_compared_by_the_statistic_that_counts_in_it(table: LatencyTable) -> None:
    strict = replace(table, protocol=replace(table.protocol, statistic="p90"))
    assert [each.ratio for each in diff(table, strict)] == pytest.approx([1.25] * len(table.entries))
