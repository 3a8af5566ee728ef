"""Other projects' tables through the command line."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from latency_tables.table_file import load_table, save_table
from pipeline.space import SearchSpace
from tests.latency_tables.foreign_files import OFA, PROXYLESSNAS

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Millis

LOGITS_VAR = "0.0005583766681628091"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A good table, one with two bad rows, one in seconds."""
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(PROXYLESSNAS)
    Path("bad.yaml").write_text(PROXYLESSNAS.replace(LOGITS_VAR, "0.05").replace("14.1313", "14.l313"))
    Path("ofa.yaml").write_text(OFA)
    return tmp_path


IMPORT = ["--format", "proxylessnas", "--as", "pixel1"]


def test_formats_are_listed(millis: Millis) -> None:
    assert set(millis("table", "formats", "--json").json) == {
        "fbnet",
        "hw_nas_bench",
        "ofa",
        "plain_csv",
        "proxylessnas",
    }
    assert "Once-for-All YAML: means in ms" in millis("table", "formats").stdout


def test_a_table_is_imported_and_shown(millis: Millis) -> None:
    ended = millis("table", "import", "good.yaml", *IMPORT)
    assert ended.exit_code == 0
    assert ended.stdout.startswith(
        "tables/imported/elsewhere-pixel1-litert.yaml: elsewhere:pixel1:litert: 5 operations"
    )
    shown = millis("table", "show", "tables/imported/elsewhere-pixel1-litert.yaml").stdout
    assert re.search(r"source_format +proxylessnas", shown) and "mean, as its source tells it" in shown
    assert re.search(r"classifier in=7x7x1280 out=1000 +0\.3096 +7\.6% +982 +steady +imported", shown)


def test_a_bad_table_is_refused_in_one_line(millis: Millis) -> None:
    ended = millis("table", "import", "bad.yaml", *IMPORT)
    assert ended.exit_code == 1 and ended.stdout == "" and not Path("tables").exists()
    assert re.fullmatch(
        r"bad\.yaml: 2 problems, read as proxylessnas: line 9, Logits.*: spread 72%, above 20% \(--max-spread\); "
        r"line 17, expanded_conv-.*: mean is '14\.l313', not a number\. Import the other 3 rows with --skip-bad",
        ended.problem,
    )


def test_json_lists_every_problem_of_a_table_that_is_refused(millis: Millis) -> None:
    ended = millis("table", "import", "bad.yaml", *IMPORT, "--json")
    assert ended.exit_code == 1 and ended.json["table"] is None
    assert [(each["line"], each["kind"]) for each in ended.json["problems"]] == [(9, "spread"), (17, "not a number")]
    assert ended.json["problems"][0]["key"] == "Logits-input:7x7x1280-output:1000"


def test_what_is_left_out_is_listed(millis: Millis) -> None:
    ended = millis("table", "import", "bad.yaml", *IMPORT, "--skip-bad", "-o", "t.yaml")
    assert ended.exit_code == 0 and len(load_table(Path("t.yaml")).entries) == 3
    assert "left out of bad.yaml, 2 rows:\n  line 9, Logits-input:7x7x1280-output:1000: spread 72%" in ended.stdout


def test_a_spread_may_be_allowed_and_a_unit_named(millis: Millis) -> None:
    Path("bad.yaml").write_text(PROXYLESSNAS.replace(LOGITS_VAR, "0.05"))
    found = millis("table", "import", "bad.yaml", *IMPORT, "--max-spread", "80%", "-o", "t.yaml", "--json").json
    assert found == {"table": "t.yaml", "operations": 5, "problems": []}
    millis("table", "import", "good.yaml", *IMPORT, "--unit", "us", "-o", "us.yaml")
    ms = [next(iter(load_table(Path(name)).entries.values())).mean_ms for name in ("t.yaml", "us.yaml")]
    assert ms == pytest.approx([4.08376, 0.00408376])


def test_a_copied_table_is_told(millis: Millis) -> None:
    millis("table", "import", "good.yaml", "--format", "proxylessnas", "--as", "pixel1", "-o", "pixel1.yaml")
    words = ["--format", "proxylessnas", "--as", "pixel2", "--against", "pixel1.yaml", "--against", "ofa.yaml"]
    ended = millis("table", "import", "good.yaml", *words)
    assert ended.exit_code == 1 and "5 problems" in ended.problem
    assert "to the digit what pixel1.yaml says, which is of another device" in ended.problem


def test_a_table_is_imported_again_over_itself_only(millis: Millis) -> None:
    for _ in range(2):
        assert millis("table", "import", "good.yaml", *IMPORT, "-o", "t.yaml").exit_code == 0
    ended = millis("table", "import", "ofa.yaml", "--format", "ofa", "--as", "note10", "-o", "t.yaml")
    assert ended.problem == "t.yaml: holds a table of elsewhere:pixel1:litert; choose another -o"
    ended = millis("table", "import", "ofa.yaml", "--format", "ofa", "--as", "note10", "-o", "good.yaml")
    assert ended.exit_code == 1 and Path("good.yaml").read_text() == PROXYLESSNAS


@pytest.mark.parametrize(
    "words",
    [
        ["table", "import", "good.yaml", "--format", "proxylessnas"],
        ["table", "import", "good.yaml", "--as", "pixel1"],
        ["table", "import", "good.yaml", "--format", "proxylessnas", "--as", "pixel 1"],
        ["table", "import", "good.yaml", "--format", "proxylessnas", "--as", "a:b?c"],
        ["table", "import", "good.yaml", *IMPORT, "--max-spread", "0.2"],
        ["table", "import", "good.yaml", *IMPORT, "--unit", "ns"],
        ["table", "export", "good.yaml", "--format", "ofa"],
        ["table", "missing", "good.yaml"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_two(words: list[str], millis: Millis) -> None:
    ended = millis(*words)
    assert ended.exit_code == 2 and "Traceback" not in ended.stderr


def test_a_file_that_is_not_there_and_a_format_that_is_none_are_named(millis: Millis) -> None:
    assert millis("table", "import", "x.yaml", *IMPORT).problem == "x.yaml: No such file or directory"
    ended = millis("table", "import", "good.yaml", "--format", "nnmeter", "--as", "pixel1")
    assert ended.problem == "no format 'nnmeter'; there are: fbnet, hw_nas_bench, ofa, plain_csv, proxylessnas"


def test_a_table_goes_out_and_comes_back(millis: Millis) -> None:
    millis("table", "import", "good.yaml", *IMPORT, "-o", "t.yaml")
    ended = millis("table", "export", "t.yaml", "--format", "proxylessnas", "-o", "out.yaml")
    assert ended.stdout == "out.yaml: mean of 5 operations alone, as proxylessnas\n"
    millis("table", "import", "out.yaml", *IMPORT, "-o", "back.yaml")
    assert load_table(Path("back.yaml")).entries == load_table(Path("t.yaml")).entries


def test_what_a_format_has_no_words_for_is_refused_or_left_out(millis: Millis) -> None:
    millis("table", "import", "ofa.yaml", "--format", "ofa", "--as", "note10", "-o", "t.yaml")
    ended = millis("table", "export", "t.yaml", "--format", "proxylessnas", "-o", "out.yaml")
    assert ended.exit_code == 1 and not Path("out.yaml").exists()
    assert "proxylessnas has no words for 6 of 7 operations: pool in=7x7x1152; conv in=224x224x3" in ended.problem
    found = millis("table", "export", "t.yaml", "--format", "proxylessnas", "-o", "out.yaml", "--skip-bad", "--json")
    assert (found.json["operations"], len(found.json["left_out"])) == (1, 6)


def test_a_table_is_never_exported_over_itself(millis: Millis) -> None:
    millis("table", "import", "good.yaml", *IMPORT, "-o", "t.yaml")
    assert millis("table", "export", "t.yaml", "--format", "plain_csv", "-o", "./t.yaml").exit_code == 2
    assert len(load_table(Path("t.yaml")).entries) == 5


def test_rows_that_an_imported_table_lacks_are_told_in_its_own_words(millis: Millis) -> None:
    millis("table", "import", "good.yaml", *IMPORT, "-o", "t.yaml")
    found = millis("table", "missing", "t.yaml", "--space", "proxyless-mobile", "--json").json
    assert found["held"] == 5 and len(found["missing"]) == 65 and found["command"] is None
    assert {
        "op": "mbconv in=112x112x32 out=16 kernel=3 stride=1 expand=1 act=relu6 se=0",
        "row": "expanded_conv-input:112x112x32-output:112x112x16-expand:1-kernel:3-stride:1-idskip:0",
    } in found["missing"]
    ended = millis("table", "missing", "t.yaml", "--space", "proxyless-mobile")
    assert "holds 5 of the 70 operations of proxyless-mobile" in ended.stdout
    assert "only elsewhere:pixel1:litert can tell them" in ended.stdout


def test_what_a_measured_table_lacks_comes_with_the_command_that_measures_it(
    space: SearchSpace, make_table: MakeTable, millis: Millis
) -> None:
    table = make_table(space)
    save_table(table, Path("whole.yaml"))
    assert "holds 10 of the 10" in millis("table", "missing", "whole.yaml", "--space", space.name).stdout
    wider = space.name.replace("kernels=3", "kernels=3,5")
    found = millis("table", "missing", "whole.yaml", "--space", wider, "--json").json
    words = shlex.split(found["command"])
    assert words[:2] == ["millis", "profile"] and words[-2:] == ["--protocol", "quick"]
    asked = [word for flag, word in pairwise(words) if flag == "--op"]
    assert asked == [each["op"] for each in found["missing"]] and all("kernel=5" in op for op in asked)
    assert words[-6:-2] == ["--target", "local:onnxruntime", "-o", "whole.yaml"]
