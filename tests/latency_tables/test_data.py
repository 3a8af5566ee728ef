"""The tables that come with the package."""

from __future__ import annotations

from pathlib import Path

import pytest

import latency_tables
from latency_tables.table_file import load_table

DATA = Path(latency_tables.__file__).parent / "data"
TABLES = sorted(DATA.rglob("*.yaml"))


@pytest.mark.parametrize("path", TABLES, ids=lambda path: str(path.relative_to(DATA)))
def test_a_table_that_comes_along_was_measured_here_and_predicts_its_networks(path: Path) -> None:
    table = load_table(path)
    assert table.space == path.parent.name
    assert {each.source for each in table.entries.values()} == {"measured"}
    off = [abs(table.predict(network.ops).ms / network.measured_ms - 1) for network in table.networks]
    assert len(off) >= 12
    assert sum(off) / len(off) < 0.05


def test_every_table_is_described() -> None:
    told = (DATA / "README.md").read_text(encoding="utf-8")
    assert TABLES
    assert [path for path in TABLES if f"`{path.relative_to(DATA)}`" not in told] == []
