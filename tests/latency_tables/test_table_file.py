from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import MeasuredNetwork
from latency_tables.table import Latency, LatencyTable, Source
from latency_tables.table_file import load_table, save_table
from profilers.environment import Environment
from profilers.errors import FileError
from profilers.op_spec import OpSpec
from profilers.protocol import Protocol, Statistic
from profilers.target import Target

NUMBERS = st.floats(1e-5, 1e4).map(lambda number: float(f"{number:.6g}"))  # what a file keeps of a number
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
OPS = st.integers(1, 64).flatmap(
    lambda out: st.sampled_from([f"conv in=8x8x3 out={out}", f"mbconv in=7x5x{out} out={out} kernel=5 se=4 act=hswish"])
)
SOURCES: st.SearchStrategy[Source] = st.sampled_from(["measured", "inferred", "imported"])
STATISTICS = ("median", "mean", "p90")


@st.composite
def latencies(draw: st.DrawFn, statistic: str) -> Latency:
    """Of which that statistic is known, and maybe others."""
    known = {f"{each}_ms": draw(NUMBERS if each == statistic else st.none() | NUMBERS) for each in STATISTICS}
    source = draw(SOURCES)
    samples = draw(st.integers(1 if source == "measured" else 0, 10**6))
    verdict = draw(st.sampled_from(["steady", "noisy"]))
    return Latency(**known, spread=draw(NUMBERS), samples=samples, verdict=verdict, source=source)  # type: ignore[arg-type]


@st.composite
def tables(draw: st.DrawFn) -> LatencyTable:
    """Of any target and protocol; its networks are of its operations."""
    statistic: Statistic = draw(st.sampled_from(STATISTICS))
    entries = draw(st.dictionaries(OPS.map(OpSpec.parse), latencies(statistic), min_size=1, max_size=5))
    chains = st.lists(st.sampled_from(list(entries)), min_size=1, max_size=6).map(tuple)
    network = st.builds(MeasuredNetwork, name=TEXTS, ops=chains, measured_ms=NUMBERS, spread=NUMBERS)
    return LatencyTable(
        target=draw(TARGETS),
        environment=Environment(draw(st.dictionaries(TEXTS, TEXTS, max_size=5))),
        protocol=Protocol(name=draw(TEXTS), burst_ms=draw(NUMBERS), statistic=statistic),
        entries=entries,
        networks=tuple(draw(st.lists(network, max_size=3))),
        drift=draw(st.integers(0, 999)) / 1000,
        space=draw(st.just("") | TEXTS),
    )


TARGETS = st.builds(
    Target,
    device=st.sampled_from(["local", "elsewhere:pixel1", "ssh:pi@board"]),
    runtime=st.sampled_from(["litert", "onnxruntime"]),
    threads=st.integers(1, 64),
)


@given(tables())
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
    precise = replace(table, entries={op: replace(table[op], median_ms=1 / 3)}, networks=())
    save_table(precise, path)
    assert "median_ms: 0.333333\n" in path.read_text()


def test_only_what_is_known_of_an_entry_stands_in_the_file(table: LatencyTable, path: Path) -> None:
    [op, *_] = table.entries
    guess = Latency(median_ms=0.5, spread=0.2, samples=0, verdict="steady", source="inferred")
    save_table(replace(table, entries={op: guess}, networks=()), path)
    entry = path.read_text().partition("entries:\n")[2].partition("networks:")[0]
    assert [line.strip() for line in entry.splitlines()[1:]] == [
        "median_ms: 0.5",
        "spread: 0.2",
        "samples: 0",
        "verdict: steady",
        "source: inferred",
    ]


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
        "    source: measured",
        "- name: network small",
        "  - mbconv in=8x8x8 out=8 kernel=3 stride=1 expand=1 act=relu6 se=0",
        "  measured_ms: 1.45",
    ):
        assert line in text.splitlines()


@pytest.mark.parametrize(
    ("pattern", "replacement", "problem"),
    [
        ("schema: 2", "schema: 1", "schema: this latency table is of version 1, but this millis reads version 2"),
        ("schema: 2", "schema: 3", "schema: this latency table is of version 3, but this millis reads version 2"),
        ("target: local:litert.*", "target: local:tvm", "target: runtime 'tvm' is not available"),
        ("target: local:litert.*\n", "", "target: "),
        ("  cpu: .*", "  cpu: [1]", "environment.cpu: input should be a valid string"),
        ("  rounds: 3", "  rounds: many", "protocol.rounds: input should be a valid integer"),
        ("  rounds: 3", "  rounds: 0", "protocol: .*rounds=0 must be at least 1"),
        ("  burst_ms: 8.0", "  burst_s: 8.0", "protocol.burst_s: no such field"),
        ("  statistic: median", "  statistic: mode", "protocol.statistic: input should be 'median', 'p90' or 'mean'"),
        ("  statistic: median", "  statistic: mean", "'conv .*': its mean is not known"),
        ("\ndrift: 0.0", "\ndrift: -0.1", "drift=-0.1 must be a number that is not negative"),
        ("\ndrift: 0.0", "\ndrift: much", "drift: input should be a valid number"),
        ("\ndrift: 0.0", "", "drift: field required"),
        ("space: .*\n", "", "space: field required"),
        ("networks:\n([- ] .*\n)+", "networks: 3\n", "networks: input should be a valid"),
        ("  ops:\n", "  opps:\n", "networks.0.(ops|opps)"),
        ("  ops:\n(  - .*\n)+", "  ops: []\n", "network all: .*one at least"),
        ("  - classifier", "  - clasifier", "network all: 'clasifier .*': no operation 'clasifier'"),
        ("  - classifier in=8x8x8 out=10", "  - identity in=8x8x8", "network all: ops must be .* not free"),
        (
            "  - classifier in=8x8x8 out=10",
            "  - classifier in=8x8x8 out=9",
            "network all: 'class.*9' stands in it, but",
        ),
        ("  measured_ms: 2.95", "  measured_ms: 0", "network all: measured_ms=0.0 must be above zero"),
        ("  measured_ms: 2.95", "  measured_ms: .inf", "network all: measured_ms=inf"),
        ("  measured_ms: 2.95", "  measured_ms: fast", "networks.0.measured_ms: input should be a valid number"),
        ("  measured_ms: 2.95", "  measured_us: 2.95", "networks.0.measured"),
        (
            "  measured_ms: 2.95\n  spread: 0.01",
            "  measured_ms: 2.95\n  spread: -1",
            "network all: .*spread=-1.0 not negative",
        ),
        ("    median_ms: 0.125", "    median_ms: .nan", "entries.classifier in=8x8x8 out=10: .*median_ms=nan"),
        ("    median_ms: 0.125", "    median_ms: -0.125", "entries.classifier in=8x8x8 out=10: .*median_ms=-0.125"),
        ("    median_ms: 0.125", "    median_ms: 0.l25", "entries.classifier in=8x8x8 out=10.median_ms: input should"),
        ("    median_ms: 0.125", "    median_us: 0.125", "entries.classifier in=8x8x8 out=10.median"),
        (
            "    source: measured",
            "    source: guessed",
            "entries.conv .*source: input should be 'measured', 'inferred'",
        ),
        ("    samples: 20", "    samples: 0", "entries.conv .*samples=0 at least 1"),
        ("    median_ms: 0.5\n", "", "'conv .*': its median is not known"),
        (
            "    median_ms: 0.5\n    p90_ms: .*\n",
            "",
            "entries.conv .*: .*one of median_ms, mean_ms, p90_ms must be known",
        ),
        ("    verdict: noisy", "    verdict: fine", "entries.conv .*verdict: input should be 'steady' or 'noisy'"),
        ("  classifier in=", "  clasifier in=", "entries: 'clasifier in=8x8x8 out=10': no operation 'clasifier'"),
        ("  classifier in=8x8x8", "  classifier in=8x8", "entries: 'classifier in=8x8 .* is not a shape"),
        ("  classifier in=8x8x8 out=10", "  mbconv in=8x8x8 out=8", "entries: 'mbconv in=8x8x8 out=8 .* twice"),
        ("entries:\n( .*\n)+", "entries: {}\n", "entries: no operation that takes time"),
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
