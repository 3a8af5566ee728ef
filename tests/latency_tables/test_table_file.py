from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import Calibration, MeasuredNetwork
from latency_tables.table import Latency, LatencyTable
from latency_tables.table_file import load_table, save_table
from profilers.environment import Environment
from profilers.errors import FileError
from profilers.op_spec import OpSpec
from profilers.protocol import Protocol
from profilers.target import Target

NUMBERS = st.floats(1e-5, 1e4).map(lambda number: float(f"{number:.6g}"))  # what a file keeps of a number
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
OPS = st.integers(1, 64).flatmap(
    lambda out: st.sampled_from([f"conv in=8x8x3 out={out}", f"mbconv in=7x5x{out} out={out} kernel=5 se=4 act=hswish"])
)
LATENCIES = st.builds(
    Latency,
    median_ms=NUMBERS,
    p90_ms=NUMBERS,
    spread=NUMBERS,
    samples=st.integers(1, 10**6),
    verdict=st.sampled_from(["steady", "noisy"]),
)
NETWORKS = st.builds(
    MeasuredNetwork, name=TEXTS, ops=st.integers(1, 99), sum_ms=NUMBERS, measured_ms=NUMBERS, spread=NUMBERS
)
TABLES = st.builds(
    LatencyTable,
    target=st.builds(Target, runtime=st.sampled_from(["litert", "onnxruntime"]), threads=st.integers(1, 64)),
    environment=st.dictionaries(TEXTS, TEXTS, max_size=5).map(Environment),
    protocol=st.builds(Protocol, name=TEXTS, burst_ms=NUMBERS),
    entries=st.dictionaries(OPS.map(OpSpec.parse), LATENCIES, max_size=5),
    calibration=st.builds(
        Calibration,
        base_ms=NUMBERS,
        scale=NUMBERS,
        per_op_ms=NUMBERS,
        networks=st.lists(NETWORKS, max_size=3).map(tuple),
    ),
)


@given(TABLES)
def test_a_table_is_read_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, table: LatencyTable) -> None:
    path = tmp_path_factory.mktemp("tables") / "t.yaml"
    save_table(table, path)
    assert load_table(path) == replace(table, path=path)
    assert list(load_table(path).entries) == list(table.entries)


@pytest.fixture
def path(table: LatencyTable, tmp_path: Path) -> Path:
    save_table(table, tmp_path / "t.yaml")
    return tmp_path / "t.yaml"


def test_a_table_that_was_read_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    save_table(load_table(path), tmp_path / "again.yaml")
    assert (tmp_path / "again.yaml").read_bytes() == path.read_bytes()


def test_numbers_are_kept_to_six_digits(table: LatencyTable, path: Path) -> None:
    op = next(iter(table.entries))
    precise = replace(table, entries={op: replace(table[op], median_ms=1 / 3)})
    save_table(precise, path)
    assert "median_ms: 0.333333\n" in path.read_text()


def test_a_table_can_be_read_by_people_and_compared_line_by_line(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# A latency table of millis: what each operation costs on one target")
    assert "milliseconds" in text.splitlines()[0]
    for line in (
        "target: local:litert?threads=2",
        "  cpu: Imaginary 3000",
        "  burst_ms: 8.0",
        "  classifier in=8x8x8 out=10:",
        "    median_ms: 0.125",
        "    verdict: noisy",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("pattern", "replacement", "problem"),
    [
        ("schema: 1", "schema: 2", "schema: this latency table is of version 2, but this millis reads version 1"),
        ("target: local:litert.*", "target: local:tvm", "target: runtime 'tvm' is not available"),
        ("target: local:litert.*\n", "", "target: "),
        ("  cpu: .*", "  cpu: [1]", "environment.cpu: input should be a valid string"),
        ("  rounds: 3", "  rounds: many", "protocol.rounds: input should be a valid integer"),
        ("  rounds: 3", "  rounds: 0", "protocol: .*rounds=0 must be at least 1"),
        ("  burst_ms: 8.0", "  burst_s: 8.0", "protocol.burst_s: no such field"),
        ("  scale: 2.0", "  scale: fast", "calibration.scale: input should be a valid number"),
        ("  scale: 2.0", "  scale: .nan", "calibration: .*base_ms and scale must be numbers"),
        ("  scale: 2.0", "  scale: 0.1", "calibration: with it 'conv .*' would cost"),
        ("    ops: 4", "    opps: 4", "calibration.networks.0.(ops|opps)"),
        ("    measured_ms: 4.05", "    measured_ms: 0", "calibration.networks.0: .*must be latencies above zero"),
        ("    median_ms: 0.125", "    median_ms: .nan", "entries.classifier in=8x8x8 out=10: .*median_ms=nan"),
        ("    median_ms: 0.125", "    median_ms: -0.125", "entries.classifier in=8x8x8 out=10: .*median_ms=-0.125"),
        ("    median_ms: 0.125", "    median_ms: 0.l25", "entries.classifier in=8x8x8 out=10.median_ms: input should"),
        ("    median_ms: 0.125", "    median_us: 0.125", "entries.classifier in=8x8x8 out=10.median"),
        ("    verdict: noisy", "    verdict: fine", "entries.conv .*verdict: input should be 'steady' or 'noisy'"),
        ("  classifier in=", "  clasifier in=", "entries: 'clasifier in=8x8x8 out=10': no operation 'clasifier'"),
        ("  classifier in=8x8x8", "  classifier in=8x8", "entries: 'classifier in=8x8 .* is not a shape"),
        ("  classifier in=8x8x8 out=10", "  mbconv in=8x8x8 out=8", "entries: 'mbconv in=8x8x8 out=8 .* twice"),
        ("entries:", "entires:", "entries: field required"),
        ("entries:", "entries: [", "not YAML"),
    ],
)
def test_a_wrong_field_is_told_with_its_file(path: Path, pattern: str, replacement: str, problem: str) -> None:
    text, changed = re.subn(pattern, replacement, path.read_text(), count=1)
    path.write_text(text)
    with pytest.raises(FileError, match=rf"^{re.escape(str(path))}: {problem}") as refused:
        load_table(path)
    assert changed == 1
    assert "\n" not in str(refused.value)


def test_a_missing_table_is_named() -> None:
    with pytest.raises(FileError, match=r"nowhere\.yaml: no such latency table"):
        load_table(Path("nowhere.yaml"))
