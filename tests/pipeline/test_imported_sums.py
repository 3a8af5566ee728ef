"""Published tables in the space and the network that they were made for: the sums that are known of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from latency_tables.errors import MissingOpError, TableImportError
from latency_tables.importing import STRICT, Rules, import_table
from latency_tables.table import LatencyTable
from latency_tables.table_file import load_table, save_table
from pipeline.architecture import Architecture
from pipeline.budget import Reach
from pipeline.published import PUBLISHED
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from profilers.target import Target

Require = Callable[[str], Path]

# One row of it, the last of the network, was measured with a standard deviation of 76 % of its mean.
PIXEL1 = Rules(max_spread=0.8)


@pytest.fixture(scope="module")
def pixel1(require: Require) -> LatencyTable:
    path = require("shared-data") / "proxylessnas_pixel1_mobile_trim.yaml"
    return import_table(path, "proxylessnas", Target(device="elsewhere:pixel1", runtime="litert"), PIXEL1).table


@pytest.fixture(scope="module")
def note10(require: Require) -> LatencyTable:
    path = require("shared-data") / "ofa_note10_224.yaml"
    return import_table(path, "ofa", Target(device="elsewhere:note10", runtime="litert")).table


@pytest.fixture(scope="module")
def proxyless() -> SearchSpace:
    return parse_space("proxyless-mobile")


def uniform_ms(table: LatencyTable, space: SearchSpace, *, with_zero: bool) -> float:
    """The expected latency where every candidate of a decision is equally likely."""
    total_ms = table.network_ms(space.fixed)
    for decision in space.decisions:
        candidates = [op for ops in decision.ops for op in ops if with_zero or not op.free]
        total_ms += math.fsum(map(table.op_ms, candidates)) / len(candidates)
    return total_ms


def test_the_pixel1_table_covers_its_space(pixel1: LatencyTable, proxyless: SearchSpace) -> None:
    assert len(pixel1.entries) == 72
    assert set(proxyless.op_specs()) <= set(pixel1.entries)


def test_the_pixel1_table_is_refused_for_one_unsteady_row(require: Require) -> None:
    path = require("shared-data") / "proxylessnas_pixel1_mobile_trim.yaml"
    target = Target(device="elsewhere:pixel1", runtime="litert")
    with pytest.raises(TableImportError, match=r"one problem.*line 9, Logits-input:7x7x1280-output:1000: spread 76%"):
        import_table(path, "proxylessnas", target, STRICT)


def test_the_fixed_part_on_a_pixel1(pixel1: LatencyTable, proxyless: SearchSpace) -> None:
    assert pixel1.network_ms(proxyless.fixed) == pytest.approx(11.36416, abs=5e-6)


@pytest.mark.parametrize(
    ("label", "ms"),
    [
        ("k3e3", 76.0481),
        ("k5e3", 87.7203),
        ("k7e3", 103.6662),
        ("k3e6", 136.4663),
        ("k5e6", 158.9527),
        ("k7e6", 191.0299),
    ],
)
def test_homogeneous_networks_on_a_pixel1(label: str, ms: float, pixel1: LatencyTable, proxyless: SearchSpace) -> None:
    ops = Architecture.uniform(proxyless, label).ops()
    assert pixel1.network_ms(ops) == pytest.approx(ms, abs=5e-5)
    assert pixel1.predict(ops).ms == pytest.approx(ms, abs=5e-5)


def test_the_fastest_and_the_slowest_network_on_a_pixel1(pixel1: LatencyTable, proxyless: SearchSpace) -> None:
    reach = Reach.of(proxyless, pixel1)
    assert reach.fastest_ms == pytest.approx(29.60878, abs=5e-6)
    assert reach.slowest_ms == pytest.approx(191.02987, abs=5e-6)


def test_uniform_expectations_on_a_pixel1(pixel1: LatencyTable, proxyless: SearchSpace) -> None:
    assert uniform_ms(pixel1, proxyless, with_zero=True) == pytest.approx(113.98813, abs=5e-6)
    assert uniform_ms(pixel1, proxyless, with_zero=False) == pytest.approx(125.64724, abs=5e-6)


def test_sums_survive_the_file_of_the_table(pixel1: LatencyTable, proxyless: SearchSpace, tmp_path: Path) -> None:
    save_table(pixel1, tmp_path / "pixel1.yaml")
    loaded = load_table(tmp_path / "pixel1.yaml")
    assert loaded.network_ms(Architecture.uniform(proxyless, "k3e3").ops()) == pytest.approx(76.0481, abs=1e-4)


@pytest.mark.parametrize("name", ["proxylessnas-mobile", "proxylessnas-cpu"])
def test_a_network_whose_rows_are_missing_fails_with_the_first_of_them(name: str, pixel1: LatencyTable) -> None:
    ops = PUBLISHED[name].architecture().ops()
    first = next(op for op in ops if op not in pixel1.entries and not op.free)
    for ask in (pixel1.network_ms, pixel1.predict, pixel1.plain_ms):
        with pytest.raises(MissingOpError, match=f"'{first}' was not measured on elsewhere:pixel1:litert"):
            ask(ops)


def test_once_for_alls_network_of_30_ms_on_a_note10(note10: LatencyTable) -> None:
    assert len(note10.entries) == 96
    ops = PUBLISHED["ofa-note10-30ms"].architecture().ops()
    assert note10.network_ms(ops) == pytest.approx(29.97, abs=5e-3)


def test_the_note10_table_covers_its_space(note10: LatencyTable) -> None:
    assert set(parse_space("mobilenet-v3?width=1.2").op_specs()) <= set(note10.entries)
