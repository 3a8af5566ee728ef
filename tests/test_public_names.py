"""What the packages export is what the README documents, in the table of its section "Python API"."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


def documented_names(text: str) -> dict[str, set[str]]:
    """Package -> names, from rows such as ``| `profilers` | `OpSpec`, `Target` |`` under the heading."""
    _, _, after = text.partition("## Python API\n")
    section = re.split(r"^#+ ", after, maxsplit=1, flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| *`(\w+)` *\|(.*)\|", section, flags=re.MULTILINE)
    return {package: set(re.findall(r"`(\w+)`", names)) for package, names in rows}


@pytest.mark.parametrize("package", ["profilers", "latency_tables", "deploy", "pipeline"])
def test_exported_names_are_the_documented_ones(package: str) -> None:
    exported = importlib.import_module(package).__all__
    assert set(exported) == documented_names(README.read_text(encoding="utf-8"))[package]
    assert len(set(exported)) == len(exported)


@pytest.mark.parametrize("package", ["profilers", "latency_tables", "deploy", "pipeline"])
def test_every_exported_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_the_table_of_names_is_read_row_by_row() -> None:
    table = "| package | names |\n|---|---|\n| `x` | `A`, `b` |\n| `y` | `C` |\n"
    text = f"# Title\n## Python API\nWords.\n\n{table}\n## Next\n| `z` | `D` |\n"
    assert documented_names(text) == {"x": {"A", "b"}, "y": {"C"}}
