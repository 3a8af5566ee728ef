"""Whatever bytes an importer is given: a table, or the error that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.errors import TableImportError
from latency_tables.formats import formats
from latency_tables.importing import Rules, import_table
from latency_tables.table_file import load_table, save_table
from profilers.target import Target
from tests.latency_tables.foreign_files import GOOD

FORMATS = formats()
TARGET = Target(device="elsewhere:imaginary", runtime="litert")
RULES = [Rules(), Rules(skip_bad=True), Rules(skip_bad=True, max_spread=99.99, unit="us")]
# Of what the formats are made, and what trips their readers.
SYNTAX = ["&a ", "*a", "<<: ", "!!python/object:os.system ", "- ", "? ", ": ", "|\n", "%YAML 9\n", "---\n", "...\n"]
MARKS = [*"[{}],-#'\"\\\t\r\n\x00\x85\u2028\ufeff"]
VALUES = [
    "null",
    "true",
    "NaN",
    "-Infinity",
    "1e999",
    "-0.0",
    "1e-400",
    "0x10",
    "1:30",
    "4.o8",
    "5e-324",
    "1.7e308",
    "1_0",
]
WORDS = st.sampled_from([*SYNTAX, *MARKS, *VALUES, "9" * 50, "9" * 5000])


@st.composite
def mutated(draw: st.DrawFn, text: str) -> str:
    """A good file with a few mishaps: characters lost, changed or put in, lines lost, repeated, moved or swapped."""
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True) or [""]
        one, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
        place = draw(st.integers(0, len(text)))
        mishap = draw(st.sampled_from(["put in", "change", "lose", "repeat", "swap", "cut"]))
        if mishap in {"put in", "change"}:
            text = text[:place] + draw(WORDS | st.text(max_size=3)) + text[place + (mishap == "change") :]
            continue
        if mishap == "lose":
            lines.pop(one)
        elif mishap == "repeat":
            lines.insert(other, lines[one])
        elif mishap == "swap":
            lines[one], lines[other] = lines[other], lines[one]
        text = text[:place] if mishap == "cut" else "".join(lines)
    return text


@st.composite
def with_other_numbers(draw: st.DrawFn, text: str) -> str:
    """A good file with some numbers exchanged for any words."""
    swap = draw(st.randoms(use_true_random=False))
    word = draw(WORDS)
    return re.sub(r"[0-9.]+", lambda found: word if swap.random() < 0.1 else found[0], text)


def imports(format_name: str, content: bytes, folder: Path) -> None:
    """Import under every rule: anything but a table or the error fails the test that calls this."""
    path = folder / "foreign"
    path.write_bytes(content)
    for rules in RULES:
        try:
            table = import_table(path, format_name, TARGET, rules).table
        except TableImportError as refused:
            said = str(refused)
            assert said.startswith(str(path)) and said.isprintable()
            continue
        assert table.entries and table.summary()
        save_table(table, folder / "table.yaml")
        assert list(load_table(folder / "table.yaml").entries) == list(table.entries)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzzed")


@pytest.mark.parametrize("format_name", FORMATS)
@given(content=st.binary(max_size=200))
def test_any_bytes(format_name: str, content: bytes, folder: Path) -> None:
    imports(format_name, content, folder)


@pytest.mark.parametrize("format_name", FORMATS)
@given(text=st.lists(WORDS | st.text(max_size=5) | st.sampled_from(GOOD["ofa"].split()), max_size=20).map("".join))
def test_any_text(format_name: str, text: str, folder: Path) -> None:
    imports(format_name, text.encode("utf-8", "surrogatepass"), folder)


@pytest.mark.parametrize("format_name", FORMATS)
@given(data=st.data())
def test_a_good_file_after_mishaps(format_name: str, data: st.DataObject, folder: Path) -> None:
    text = data.draw(mutated(GOOD[format_name]) | with_other_numbers(GOOD[format_name]))
    imports(format_name, text.encode("utf-8", "surrogatepass"), folder)


BOMB = "a: &a [lol, lol]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghijkl", "bcdefghijklm", strict=True)
)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "&a [*a]",
        "&a {k: *a}",
        "a: &a {count: 1, mean: 1, var: 1, <<: *a}",
        "[" * 200_000,
        "{a: " * 200_000,
        '{"a":' * 200_000 + "1" + "}" * 200_000,
        "- " * 100_000,
        "? " * 100_000,
        "a:\n" + "".join(" " * depth + "a:\n" for depth in range(1, 500)),
        "a: " + "9" * 1_000_000,
        "a" * 1_000_000 + ": 1",
        "op,mean_ms\n" + "x" * 500_000 + ",1",
        'op,mean_ms\n"' + "x" * 500_000,
        "op,mean_ms\nclassifier in=1x1x1 out=" + "9" * 5000 + ",1",
        "op,mean_ms\nclassifier in=1x1x1 out=" + "9" * 4000 + ",1",
        "\n".join(f"a{n}: 1" for n in range(2_000)),
    ],
    ids=lambda text: f"{text[:20]!r}, {len(text)} characters",
)
def test_bombs(format_name: str, text: str, folder: Path) -> None:
    imports(format_name, text.encode(), folder)
    (folder / "good").write_text(GOOD[format_name])
    with pytest.raises(TableImportError, match="to compare with, but no table of millis nor of"):
        import_table(folder / "good", format_name, TARGET, Rules(against=(folder / "foreign",)))
