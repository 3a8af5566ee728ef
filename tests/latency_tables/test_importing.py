"""Dirt in other projects' tables: caught, and named by row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from latency_tables.errors import TableImportError
from latency_tables.importing import Import, Rules, import_table
from latency_tables.table_file import load_table, save_table
from profilers.op_spec import OpSpec
from profilers.target import Target
from tests.latency_tables.foreign_files import FBNET, GOOD, HW_NAS_BENCH, OFA, PLAIN_CSV, PROXYLESSNAS

TARGET = Target(device="elsewhere:imaginary", runtime="litert")
SKIP = Rules(skip_bad=True)

STEM = "Conv-input:224x224x3-output:112x112x32"
HEAD = "Conv_1-input:7x7x320-output:7x7x1280"
LOGITS = "Logits-input:7x7x1280-output:1000"
DOWN = "expanded_conv-input:112x112x16-output:56x56x24-expand:3-kernel:3-stride:2-idskip:0"
KEEP = "expanded_conv-input:56x56x24-output:56x56x24-expand:6-kernel:5-stride:1-idskip:1"
WITHIN = "expanded_conv-input:112x112x24-output:112x112x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0"
CONV_ROW, FC_ROW, POOL_ROW = FBNET.strip().splitlines()

Read = Callable[..., Import]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_text(format_name: str, text: str | bytes, rules: Rules = Rules()) -> Import:  # noqa: B008 - frozen
        path = tmp_path / "foreign"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return import_table(path, format_name, TARGET, rules)

    return read_text


def changed(format_name: str, old: str, new: str) -> str:
    text = GOOD[format_name]
    assert text.count(old) >= 1
    return text.replace(old, new, 1)


# format, what is replaced by what, the problem: its kind, line, and what is said of it.
DIRT = [
    # not a number
    ("proxylessnas", "mean: 4.08", "mean: 4.o8", "not a number", 1, "mean is '4.o83755600814664', not a number"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: .nan", "not a number", 1, "mean is '.nan'"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: nan", "not a number", 1, "mean is 'nan'"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: 1e999", "not a number", 1, "mean is inf"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: true", "not a number", 1, "mean is 'true'"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: 4_083", "not a number", 1, "mean is '4_083'"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: 4,08", "not a number", 1, "mean is '4,08'"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: 1:30", "not a number", 1, "mean is '1:30'"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: '4.08'", "not a number", 1, "mean is '4.08'"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: [4.08]", "not a number", 1, "mean is 'a list of 1'"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: ", "not a number", 1, "mean is ''"),
    ("proxylessnas", "count: 982", "count: many", "not a number", 1, "count is 'many'"),
    ("hw_nas_bench", "3.25", '"3.25"', "not a number", 2, "the latency is '3.25'"),
    ("hw_nas_bench", "3.25", "null", "not a number", 2, "the latency is 'null'"),
    ("hw_nas_bench", "3.25", "NaN", "not a number", 2, "the latency is 'NaN'"),
    ("fbnet", "4100", "NaN", "not a number", 1, "runtime_us_p50 is nan"),
    ("fbnet", "4100", "true", "not a number", 1, "runtime_us_p50 is True"),
    ("fbnet", "4100", '"4100"', "not a number", 1, "runtime_us_p50 is '4100'"),
    ("fbnet", "4100", "1" + "0" * 400, "not a number", 1, "runtime_us_p50 is 1000"),
    ("plain_csv", "4.25", "4.2S", "not a number", 2, "median_ms is '4.2S'"),
    ("plain_csv", "4.25", "", "not a number", 2, "median_ms is ''"),
    ("plain_csv", "4.25", "inf", "not a number", 2, "median_ms is 'inf'"),
    # nothing, and less than nothing
    ("proxylessnas", "mean: 4.083755600814664", "mean: 0", "not positive", 1, "mean 0 is not above zero"),
    ("proxylessnas", "mean: 4.083755600814664", "mean: -4.1", "not positive", 1, "mean -4.1 is not above zero"),
    ("proxylessnas", "var: 0.25", "var: -0.25", "not positive", 1, "var -0.250237 is negative"),
    ("proxylessnas", "count: 982", "count: 0", "not positive", 1, "count 0 is not a whole number above zero"),
    ("proxylessnas", "count: 982", "count: 1.5", "not positive", 1, "count 1.5 is not a whole number"),
    ("ofa", "std: 0.0009", "std: -0.0009", "not positive", 1, "std -0.0009"),
    ("hw_nas_bench", "3.25", "-3.25", "not positive", 2, "mean -3.25 is not above zero"),
    ("hw_nas_bench", "0.75", "0", "not positive", 7, "mean 0 is not above zero"),
    ("fbnet", "3900.0", "0", "not positive", 1, "a time of 0 ms"),
    ("plain_csv", "4.25", "0.0", "not positive", 2, "median 0 is not above zero"),
    ("plain_csv", "4.5", "-1", "not positive", 2, "90th percentile -1 is not above zero"),
    # unsteady
    ("proxylessnas", "var: 0.0005583766681628091", "var: 0.05583766681628091", "spread", 9, "spread 76%, above 20%"),
    ("ofa", "std: 0.10130917152953131", "std: 0.16", "spread", 13, "spread 21%, above 20%"),
    ("fbnet", "4300.0", "8000.0", "order", 1, "its percentiles are not in order"),
    ("plain_csv", "0.02", "0.21", "spread", 2, "spread 21%, above 20%"),
    ("plain_csv", "0.02", "-0.1", "spread", 2, "spread -0.1"),
    # ragged
    ("proxylessnas", "  var: 0.2502372872758427\n", "", "ragged", 1, "lacks var; the fields of a row are count"),
    ("proxylessnas", "  var: 0.25", "  std: 0.1\n  var: 0.25", "ragged", 1, "has std; the fields"),
    ("proxylessnas", "  var: 0.25", "  mean: 4.1\n  var: 0.25", "ragged", 1, "mean is given twice"),
    ("proxylessnas", PROXYLESSNAS[len(STEM) + 2 : PROXYLESSNAS.index(HEAD)], "", "ragged", 1, "lacks"),
    ("proxylessnas", f"{STEM}:\n", f"{STEM}: 4.1\nx:\n", "ragged", 1, "lacks count, mean, var and has value"),
    ("ofa", "std: 0.0009", "var: 0.0009", "ragged", 1, "lacks std and has var"),
    ("hw_nas_bench", "3.25", '{"mean": 3.25}', "ragged", 2, "holds fields where one number should stand"),
    ("fbnet", '"runtime_us_p0": 3900.0, ', "", "ragged", 1, "lacks runtime_us_p0"),
    ("fbnet", '"runtime_us_p0": 3900.0, ', '"runtime_us_p0": 3900.0, "p5": 1, ', "ragged", 1, "has p5"),
    ("fbnet", '"runtime_us_p0": 3900.0, ', '"runtime_us_p0": 1, "runtime_us_p0": 2, ', "ragged", 1, "given once"),
    ("fbnet", '"input_dtypes": [1, 1, 1], ', "", "ragged", 1, "lacks input_dtypes"),
    ("fbnet", ', "device": "SM-G950U-7.0-24"}', "}", "ragged", 1, "device is missing"),
    ("fbnet", ', "device": "SM-G950U-7.0-24"}', "", "ragged", 1, "not JSON"),
    ("plain_csv", "4.25,4.5,0.02,1000", "4.25,4.5,0.02", "ragged", 2, "4 cells under 5 columns"),
    ("plain_csv", "4.25,4.5,0.02,1000", "4.25,4.5,0.02,1000,1", "ragged", 2, "6 cells under 5 columns"),
    # ratios against channels
    ("proxylessnas", "expand:3", "expand:48", "expansion", 13, "expand 48 looks like channels; in this format it is a"),
    ("ofa", "expand:24", "expand:1", "expansion", 21, "expand 1 looks like a ratio; in this format it is a number of"),
    ("ofa", "expand:192", "expand:6", "expansion", 25, "expand 6 looks like a ratio"),
    ("ofa", "expand:192", "expand:40", "expansion", 25, "expand 40 looks like a ratio"),
    ("ofa", "expand:192", "expand:100", "expansion", 25, "expand 100 is no multiple of the 48 channels"),
    ("hw_nas_bench", "exp6", "exp144", "expansion", 3, "exp144 looks like channels"),
    # shapes that contradict one another
    ("proxylessnas", "output:112x112x32", "output:56x56x32", "shape", 1, "at stride 2 gives 112x112x32, not 56x56x32"),
    ("proxylessnas", "output:7x7x1280", "output:4x4x1280", "shape", 5, "at stride 1 gives 7x7x1280, not 4x4x1280"),
    ("proxylessnas", "stride:2", "stride:1", "shape", 13, "at stride 1 gives 112x112x24, not 56x56x24"),
    ("proxylessnas", "idskip:0", "idskip:1", "shape", 13, "idskip 1 from 112x112x16 to 56x56x24 at stride 2"),
    ("proxylessnas", "idskip:0", "idskip:2", "shape", 13, "idskip 2 is neither 0 nor 1"),
    ("proxylessnas", "224x224x3", "224x224x99999999", "shape", 1, "a size, stride or count above 65536"),
    ("ofa", "output:1x1x1152", "output:1x1x1150", "shape", 1, "7x7x1152 gives 1x1x1152, not 1x1x1150"),
    ("hw_nas_bench", "Cin1984_Cout1984", "Cin1984_Cout198", "shape", 6, "a pool from 1984 to 198 channels"),
    ("hw_nas_bench", "H224_", "H0_", "shape", 2, "a size of zero"),
    ("fbnet", "[16, 3, 3, 3]", "[16, 4, 3, 3]", "shape", 1, "weights for 4 channels, but the image has 3"),
    ("fbnet", "[16]]", "[17]]", "shape", 1, "a bias for other than 16 channels"),
    ("fbnet", "[1, 3, 224, 224]", "[2, 3, 224, 224]", "shape", 1, "is not the shape of one image"),
    ("fbnet", "[1, 1504], [1000", "[1, 1500], [1000", "shape", 2, "input, weights and bias do not fit"),
    # operations that are none of ours
    ("proxylessnas", "idskip:1", "idskip:0", "no operation", 17, "idskip 0 between equal shapes; our mbconv adds"),
    ("proxylessnas", "kernel:3", "kernel:4", "no operation", 13, "kernel=4 must be odd"),
    ("hw_nas_bench", "group1", "group2", "no operation", 2, "group 2: no operation of ours has groups"),
    ("hw_nas_bench", "exp6", "exp1", "no operation", 3, "exp1 keeps its first 1x1 convolution here"),
    ("hw_nas_bench", 'stride1": 0.0', 'stride1": 0.1', "no operation", 5, "our identity leaves no layer"),
    ("hw_nas_bench", "kernel7", "kernel3", "no operation", 6, "ours is over the whole image"),
    ("fbnet", '"Conv"', '"SpatialBN"', "no operation", 1, "operator SpatialBN alone is no operation of ours"),
    ("fbnet", "[1, 1, 1]", "[12, 12, 12]", "no operation", 1, "which is not all float32"),
    ("fbnet", '\\"pad\\"\\ni: 1', '\\"pad\\"\\ni: 0', "no operation", 1, "padding that no convolution of ours has"),
    ("fbnet", '\\"pad\\"', '\\"group\\"', "no operation", 1, "padding that no"),
    ("fbnet", '\\"global_pooling\\"', '\\"kernel\\"', "no operation", 3, "a pool that is not over the whole image"),
    # keys that no such table has
    ("proxylessnas", "Conv-", "Convolution-", "key", 1, "no kind of row 'Convolution'; there are Conv, Conv_1, Logits"),
    ("proxylessnas", "224x224x3", "224x224", "key", 1, "input '224x224' is not a shape"),
    ("proxylessnas", "expand:3-", "", "key", 13, "expanded_conv is named by input, output, expand, kernel"),
    ("proxylessnas", "idskip:0", "idskip:0-se:0-hs:0", "key", 13, "idskip, not by input, output, expand, kernel"),
    ("proxylessnas", "expand:3", "expand:3-expand:3", "key", 13, "is named by"),
    ("proxylessnas", "expand:3", "expand:three", "key", 13, "expand 'three' is not a whole number"),
    ("proxylessnas", f"{STEM}:", "? [1, 2]\n:", "key", 1, "no name of an operation"),
    ("ofa", "hs:0", "hs:2", "key", 21, "hs 2 is neither 0 nor 1"),
    ("hw_nas_bench", "ConvNorm_", "Conv_", "key", 2, "no kind of row 'Conv'; there are ConvNorm, ConvBlock"),
    ("hw_nas_bench", "H224_", "", "key", 2, "ConvNorm is named by H, W, Cin, Cout, kernel, stride, group"),
    ("fbnet", "[[1, 3, 224, 224], [16, 3, 3, 3], [16]]", "[[1, 3, -224, 224]]", "key", 1, "is no list of shapes"),
    ("fbnet", "[[1, 3, 224, 224], [16, 3, 3, 3], [16]]", "7", "key", 1, "input_shapes is no list of shapes"),
    ("fbnet", '"op_args": ["name', '"op_args": ["nom', "key", 1, "is no argument of an operator"),
    ("fbnet", '"Conv"', "3", "key", 1, "op_type is no text"),
    ("plain_csv", "conv in", "conv2d in", "key", 2, "no operation 'conv2d'; there are"),
    ("plain_csv", "224x224x3", "224x224", "key", 2, "is not a shape"),
    # another device
    ("fbnet", "SM-G950U", "SM-G930F", "another target", 2, "of device SM-G950U-7.0-24, the first row is of SM-G930F"),
]


@pytest.mark.parametrize(("format_name", "old", "new", "kind", "line", "said"), DIRT)
def test_a_dirty_row_is_named_and_may_be_left_out(
    format_name: str, old: str, new: str, kind: str, line: int, said: str, read: Read
) -> None:
    text = changed(format_name, old, new)
    with pytest.raises(TableImportError) as refused:
        read(format_name, text)
    problem = next(each for each in refused.value.problems if each.line == line)
    assert problem.kind == kind and said in problem.text
    assert f"line {line}, " in str(refused.value) and "\n" not in str(refused.value)
    kept = read(format_name, text, SKIP)
    whole = read(format_name, GOOD[format_name]).table.entries
    assert kept.left_out == refused.value.problems and 0 < len(kept.table.entries) <= len(whole)
    assert all(kept.table.entries[op] == whole[op] for op in kept.table.entries)


def row(key: str, mean: float = 4.083755600814664) -> str:
    return f"{key}:\n  count: 9\n  mean: {mean}\n  var: 0.001\n"


def test_a_key_that_stands_there_again_is_told_where_yaml_would_not(read: Read) -> None:
    with pytest.raises(TableImportError, match=f"line 5, {STEM}: line 1 says the same of 'conv in=224x224x3"):
        read("proxylessnas", row(STEM) + row(STEM))
    kept = read("proxylessnas", row(STEM) + row(STEM), SKIP)
    assert [(problem.kind, problem.line) for problem in kept.left_out] == [("duplicate", 5)]
    assert len(kept.table.entries) == 1


def test_of_two_values_for_one_operation_neither_is_believed(read: Read) -> None:
    text = row(STEM) + row(LOGITS, 0.3) + row(STEM, 4.5)
    with pytest.raises(TableImportError, match=f"line 1, {STEM}: line 9 says otherwise.*; line 9, {STEM}: line 1 says"):
        read("proxylessnas", text)
    kept = read("proxylessnas", text, SKIP)
    assert [problem.kind for problem in kept.left_out] == ["conflict", "conflict"]
    assert [str(op) for op in kept.table.entries] == ["classifier in=7x7x1280 out=1000"]


def test_two_keys_of_one_operation_conflict(read: Read) -> None:
    text = '{"ConvNorm_H8_W8_Cin16_Cout32_kernel1_stride1_group1": 0.5, "Skip_H8_W8_Cin16_Cout32_stride1": 0.6}'
    with pytest.raises(TableImportError, match=r"2 problems.*says otherwise of 'conv in=8x8x16 out=32 kernel=1"):
        read("hw_nas_bench", text)


def test_every_problem_is_told_the_first_three_in_the_message(read: Read) -> None:
    text = PROXYLESSNAS.replace("var:", "std:")
    with pytest.raises(TableImportError, match=r"5 problems, read as proxylessnas: .*; and 2 more") as refused:
        read("proxylessnas", text)
    assert [problem.line for problem in refused.value.problems] == [1, 5, 9, 13, 17]


def test_a_file_in_another_format_says_which(read: Read) -> None:
    with pytest.raises(TableImportError, match=r"7 problems, read as proxylessnas.*As ofa it would have 7 rows"):
        read("proxylessnas", OFA, SKIP)


@pytest.mark.parametrize(
    ("format_name", "factor", "advice"),
    [
        ("proxylessnas", 1e-3, "as no device does; --unit s where its numbers are seconds"),
        ("proxylessnas", 1e3, "as no device does; --unit us where its numbers are microseconds"),
        ("ofa", 1e-3, "--unit s where"),
        ("ofa", 1e3, "--unit us where"),
    ],
)
def test_a_whole_file_in_another_unit_is_no_table_until_the_unit_is_named(
    format_name: str, factor: float, advice: str, read: Read
) -> None:
    text = "\n".join(
        f"  mean: {float(line[8:]) * factor!r}" if line.startswith("  mean") else spread_of(line, factor)
        for line in GOOD[format_name].splitlines()
    )
    for rules in (Rules(), SKIP):
        with pytest.raises(TableImportError, match=advice) as refused:
            read(format_name, text, rules)
        assert [problem.kind for problem in refused.value.problems] == ["unit"]
    unit = "s" if factor < 1 else "us"
    named = read(format_name, text, Rules(unit=unit)).table  # type: ignore[arg-type]
    whole = read(format_name, GOOD[format_name]).table
    assert {op: named.alone_ms(op) for op in named.entries} == pytest.approx(
        {op: whole.alone_ms(op) for op in whole.entries}
    )
    assert named.environment.facts["source_unit"] == unit


def spread_of(line: str, factor: float) -> str:
    name, _, number = line.strip().partition(": ")
    scales = {"var": factor**2, "std": factor}
    return f"  {name}: {float(number) * scales[name]!r}" if name in scales else line


def test_milliseconds_in_a_format_of_microseconds_are_seen(read: Read) -> None:
    text = FBNET
    for number in ("3900.0", "4000.0", "4100", "4300.0", "5000.0"):
        text = text.replace(number, str(float(number) / 1e3), 1)
    with pytest.raises(TableImportError, match="--unit ms where its numbers are milliseconds"):
        read("fbnet", text.strip().splitlines()[0])


def test_rows_that_another_devices_table_has_to_the_digit_are_named(read: Read, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(
        PROXYLESSNAS.replace("3.0886", "3.1886").replace("0.30964", "0.31964").replace("6.24056", "6.34056")
    )
    with pytest.raises(TableImportError, match="2 problems") as refused:
        read("proxylessnas", PROXYLESSNAS, Rules(against=(other,)))
    assert [(problem.kind, problem.line) for problem in refused.value.problems] == [("copied", 1), ("copied", 17)]
    assert f"to the digit what {other} says" in refused.value.problems[0].text
    kept = read("proxylessnas", PROXYLESSNAS, Rules(against=(other,), skip_bad=True))
    assert len(kept.table.entries) == 3


def test_a_table_of_ours_is_compared_with_too(read: Read, tmp_path: Path) -> None:
    whole = read("proxylessnas", PROXYLESSNAS).table
    save_table(whole, tmp_path / "same.yaml")
    with pytest.raises(TableImportError, match="but of elsewhere:imaginary:litert itself"):
        read("proxylessnas", PROXYLESSNAS, Rules(against=(tmp_path / "same.yaml",)))
    other = Target(device="elsewhere:other", runtime="litert")
    save_table(import_table(tmp_path / "foreign", "proxylessnas", other).table, tmp_path / "other.yaml")
    with pytest.raises(TableImportError, match=r"5 problems.*to the digit"):
        read("proxylessnas", PROXYLESSNAS, Rules(against=(tmp_path / "other.yaml",)))


def test_latencies_of_few_digits_may_agree_by_chance(read: Read, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    less = PLAIN_CSV.replace("4.25,4.5", "4.26,4.6")
    other.write_text(less.replace("0.015625", "0.02").replace("0.3125,0.375", "0.41,0.42"))
    assert len(read("plain_csv", PLAIN_CSV, Rules(against=(other,))).table.entries) == 4
    other.write_text(less)  # but not most of them
    with pytest.raises(TableImportError, match="3 problems"):
        read("plain_csv", PLAIN_CSV, Rules(against=(other,)))


def test_what_is_no_table_cannot_be_compared_with(read: Read, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("hello")
    with pytest.raises(TableImportError, match="to compare with, but no table of millis nor of fbnet"):
        read("plain_csv", PLAIN_CSV, Rules(against=(tmp_path / "other",)))


def test_a_spread_that_is_allowed_is_imported_as_noisy(read: Read) -> None:
    text = changed("proxylessnas", "var: 0.0005583766681628091", "var: 0.05583766681628091")
    table = read("proxylessnas", text, Rules(max_spread=0.8)).table
    assert [str(op) for op in table.noisy] == ["classifier in=7x7x1280 out=1000"]
    assert table.environment.facts["max_spread"] == "80%"


@pytest.mark.parametrize(
    ("format_name", "content", "said"),
    [
        ("proxylessnas", b"", "holds no mapping from operations to latencies"),
        ("proxylessnas", b"- 1\n- 2\n", "holds no mapping"),
        ("proxylessnas", b"{}", "holds no rows"),
        ("proxylessnas", b"a: [", "not YAML: "),
        ("proxylessnas", b"a: 1\n---\nb: 2\n", "line 2: a second document begins"),
        ("proxylessnas", b"\xff\xfe\x00", "not text in UTF-8"),
        ("proxylessnas", b"a: &b 1\nc: *b\n", r"line 2: the alias \*b stands for other lines"),
        ("hw_nas_bench", b"\x80\x04\x95", "not text in UTF-8"),  # the pickle that the benchmark ships
        ("fbnet", b"", "holds no rows"),
        ("plain_csv", b"", "the first line should name columns: op, and some of median_ms"),
        ("plain_csv", b"op,ms\n", "the first line should name columns"),
        ("plain_csv", b"op,mean_ms,mean_ms\n", "the first line should name columns"),
        ("plain_csv", b'op,mean_ms\n"conv,1\n', "not CSV: "),
        ("plain_csv", b"op,mean_ms\n", "holds no rows"),
    ],
)
def test_a_file_that_is_no_table_says_why(format_name: str, content: bytes, said: str, read: Read) -> None:
    for rules in (Rules(), SKIP):
        with pytest.raises(TableImportError, match=f"foreign: .*{said}"):
            read(format_name, content, rules)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path, said in ((tmp_path / "nothing", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(TableImportError, match=f"{path}: {said}"):
            import_table(path, "ofa", TARGET)


def test_nothing_but_bad_rows_is_no_table(read: Read) -> None:
    with pytest.raises(TableImportError, match="one problem, read as proxylessnas: line 1"):
        read("proxylessnas", row(STEM, -1.0), SKIP)


def test_a_table_says_what_it_was_made_from(read: Read, tmp_path: Path) -> None:
    text = changed("proxylessnas", "var: 0.0005583766681628091", "var: 1")
    table = read("proxylessnas", text, SKIP).table
    assert table.environment.facts == {
        "source": "foreign",
        "source_format": "proxylessnas",
        "source_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "left_out": "1 of 5 rows",
    }
    assert table.protocol.describe() == "imported: mean, as its source tells it"
    save_table(table, tmp_path / "t.yaml")
    loaded = load_table(tmp_path / "t.yaml")
    assert loaded.target == TARGET and loaded.environment == table.environment
    assert {op: loaded.alone_ms(op) for op in loaded.entries} == pytest.approx(
        {op: table.alone_ms(op) for op in table.entries}, rel=1e-5
    )


def test_a_network_costs_the_sum_of_its_rows(read: Read) -> None:
    table = read("proxylessnas", PROXYLESSNAS).table
    ops = [OpSpec.parse("conv in=224x224x3 out=32 kernel=3 stride=2"), OpSpec.parse("classifier in=7x7x1280 out=1000")]
    assert table.network_ms(ops) == pytest.approx(4.083755600814664 + 0.3096415478615071)


def test_a_byte_order_mark_is_no_part_of_the_first_key(read: Read) -> None:
    assert len(read("plain_csv", b"\xef\xbb\xbf" + PLAIN_CSV.encode()).table.entries) == 4


def test_json_may_stand_on_one_line_without_spaces(read: Read) -> None:
    text = "".join(HW_NAS_BENCH.split())
    assert len(read("hw_nas_bench", text).table.entries) == 5
