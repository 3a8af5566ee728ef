"""`millis profile --like`: a few measurements, and everything else inferred from tables of other devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from latency_tables.errors import MissingOpError
from latency_tables.inferring import Unmeasured
from latency_tables.table import Latency, LatencyTable
from latency_tables.table_file import load_table, save_table
from latency_tables.transfer import infer
from pipeline.architecture import Architecture
from pipeline.space import SearchSpace
from profilers.op_spec import OpSpec

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Millis


def by_elements(op: OpSpec) -> float:
    return 0.002 + op.cost.elements_moved / 1e6


@pytest.fixture
def others(space: SearchSpace, make_table: MakeTable, tmp_path: Path) -> list[str | Path]:
    """The words that name two tables of other devices."""
    paths = tmp_path / "one.yaml", tmp_path / "other.yaml"
    save_table(make_table(space, target="local:pytorch"), paths[0])
    save_table(make_table(space, by_elements, target="local:litert"), paths[1])
    return ["--like", paths[0], "--like", paths[1]]


@pytest.fixture
def profile(millis: Millis, tmp_path: Path) -> Callable[..., LatencyTable]:
    """Profile quickly into `new.yaml`, as more words say; the table."""
    path = tmp_path / "new.yaml"

    def run(*words: str | Path) -> LatencyTable:
        where = ("--target", "local:onnxruntime", "--protocol", "quick", "-o", path)
        assert millis("profile", *where, *words).exit_code == 0
        return load_table(path)

    return run


def measured(table: LatencyTable) -> dict[OpSpec, Latency]:
    return {op: each for op, each in table.entries.items() if op not in table.inferred}


def test_what_is_inferred_can_be_measured_and_what_was_measured_stays(
    profile: Callable[..., LatencyTable], others: list[str | Path], space: SearchSpace
) -> None:
    table = profile("--space", space.name, *others, "--measurements", "1")
    assert set(table.entries) == set(space.op_specs()) and len(table.networks) + len(measured(table)) == 1
    assert all(table[op].spread > 0 and table[op].samples == 0 for op in table.inferred)
    lone = profile("--op", str(table.inferred[-1]))
    assert set(measured(lone)) == {*measured(table), table.inferred[-1]}
    more = profile("--space", space.name, *others, "--measurements", "3")
    assert measured(more).items() >= measured(lone).items() and set(more.networks) >= set(lone.networks)
    assert len(more.networks) + len(measured(more)) == 3


def test_what_would_narrow_wide_intervals_is_named_in_one_line(
    others: list[str | Path], space: SearchSpace, millis: Millis, tmp_path: Path
) -> None:
    words = ["--space", space.name, "--target", "local:onnxruntime", "--protocol", "quick"]
    ended = millis("profile", *words, "-o", tmp_path / "new.yaml", *others, "--measurements", "1")
    (line,) = (line for line in ended.stderr.splitlines() if "--measurements" in line)
    assert line.startswith(f"{tmp_path / 'new.yaml'}: networks are told to ±")
    assert "--measurements 4 would add: " in line and line.count(";") == 3


def test_a_whole_space_is_inferred_or_nothing(others: list[str | Path], millis: Millis) -> None:
    for words in (
        [],
        ["--op", "classifier in=1x1x8 out=2"],
        ["--space", "mbconv-8", "--op", "classifier in=1x1x8 out=2"],
        ["--space", "mbconv-8", "--networks", "8"],
    ):
        ended = millis("profile", "--target", "local:onnxruntime", *others, *words)
        assert ended.exit_code == 2 and "Traceback" not in ended.stderr


def test_an_operation_that_another_device_lacks_is_named(
    others: list[str | Path], space: SearchSpace, millis: Millis, tmp_path: Path
) -> None:
    table = load_table(tmp_path / "one.yaml")
    lacking = space.op_specs()[1]
    entries = {op: each for op, each in table.entries.items() if op != lacking}
    save_table(replace(table, entries=entries), tmp_path / "one.yaml")
    ended = millis("profile", "--space", space.name, "--target", "local:onnxruntime", *others)
    assert ended.exit_code == 1 and f"one.yaml: operation '{lacking}' was not measured" in ended.problem


def test_a_device_like_a_known_one_is_told_by_one_network(
    space: SearchSpace, make_table: MakeTable, all_networks: Callable[[SearchSpace], list[Architecture]]
) -> None:
    usual = [network.ops() for network in all_networks(space)]
    table = make_table(space)
    unmeasured = Unmeasured.of(space.op_specs(), usual, [table, make_table(space, by_elements, target="local:litert")])
    inference = infer(unmeasured.prior, unmeasured.network(usual[5])[None], np.array([7 * table.plain_ms(usual[5])]))
    entries = unmeasured.entries(inference, "median")
    assert all(entry.source == "inferred" and entry.samples == 0 for entry in entries.values())
    total_ms = sum(entries[op].ms("median") for op in usual[0] if not op.free)
    assert total_ms == pytest.approx(7 * table.plain_ms(usual[0]), rel=0.4)


def test_an_operation_that_is_missing_elsewhere_cannot_be_inferred(space: SearchSpace, make_table: MakeTable) -> None:
    lone = OpSpec.parse("classifier in=1x1x8 out=2")
    with pytest.raises(MissingOpError, match="classifier in=1x1x8"):
        Unmeasured.of([*space.op_specs(), lone], [[lone]], [make_table(space)])
