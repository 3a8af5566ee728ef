from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.errors import FileError, MillisError, TargetError
from profilers.runtimes import RUNTIMES
from profilers.target import Target

DEVICES = st.from_regex(r"local|adb:[A-Z0-9]{4,16}|ssh:[a-z]{1,8}@[a-z0-9.-]{1,20}(:[0-9]{1,5})?", fullmatch=True)
TARGETS = st.builds(
    Target,
    device=DEVICES,
    runtime=st.sampled_from(sorted(RUNTIMES)),
    threads=st.integers(1, 512),
    batch=st.integers(1, 4096),
)
OPTIONS = st.tuples(st.sampled_from(["threads", "batch", "precision", "cores"]), st.text()).map("=".join)


@given(TARGETS)
def test_a_target_is_read_back_from_its_text(target: Target) -> None:
    assert Target.parse(str(target)) == target


def test_a_text_leaves_out_what_is_usual() -> None:
    target = Target(runtime="litert", threads=2)
    assert str(target) == "local:litert?threads=2"
    assert str(Target(runtime="onnxruntime")) == "local:onnxruntime"
    assert target.slug == "local-litert-threads-2"


def test_options_come_in_any_order() -> None:
    one, other = "local:litert?batch=4&threads=2", "local:litert?threads=2&batch=4&precision=fp32"
    assert Target.parse(one) == Target.parse(other)


@given(st.text() | st.lists(OPTIONS).map(lambda words: "local:litert?" + "&".join(words)))
def test_any_text_is_a_target_or_an_error_of_one_line(text: str) -> None:
    assert "\n" not in problem_of(text)


def problem_of(text: str) -> str:
    try:
        Target.parse(text)
    except MillisError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "write DEVICE:RUNTIME, as in local:onnxruntime"),
        ("litert", "write DEVICE:RUNTIME"),
        (":litert", "write DEVICE:RUNTIME"),
        ("local:tvm", "runtime 'tvm' is not available; there are: onnxruntime, litert"),
        ("local:litert?precision=int3", "precision 'int3' is not available for litert; there are: fp32"),
        ("local:litert?accelerator=npu", "accelerator 'npu' is not available for litert; there are: cpu"),
        ("local:litert?threads=0", "threads=0 must be at least 1"),
        ("local:litert?threads=-1", "threads='-1' is not a whole number"),
        ("local:litert?threads=" + "9" * 5000, "is not a whole number"),
        ("local:litert?threads", "threads='' is not a whole number"),
        ("local:litert?cores=2", "cores '2' is not available; there are: big, little, any"),
        ("local:litert?core=2", "no option 'core'; there are accelerator, precision, threads, cores, batch"),
        ("local:litert?threads=1&threads=2", "threads is given twice"),
    ],
)
def test_a_bad_target_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        Target.parse(text)


def test_a_target_is_also_a_file(tmp_path: Path) -> None:
    file = tmp_path / "phone.yaml"
    file.write_text("runtime: litert\nthreads: 2\n")
    assert Target.parse(str(file)) == Target(runtime="litert", threads=2)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("runtime: tvm", TargetError, "target: runtime 'tvm' is not available"),
        ("runtime: litert\nthreads: 0", TargetError, "target: threads=0 must be"),
        ("runtime: litert\nthreads: many", FileError, "threads: input should be a valid integer"),
        ("runtime: litert\ncore: 2", FileError, "core: no such field"),
        ("threads: 2", FileError, "runtime: .*required"),
        ("runtime: [", FileError, "not YAML"),
        ("", FileError, "input should be"),
    ],
)
def test_a_bad_target_file_is_named_with_its_field(
    tmp_path: Path, text: str, error: type[MillisError], message: str
) -> None:
    file = tmp_path / "phone.yaml"
    file.write_text(text)
    with pytest.raises(error, match=rf"phone\.yaml: (.*: )?{message}"):
        Target.parse(str(file))


def test_a_missing_target_file_is_named() -> None:
    with pytest.raises(FileError, match=r"nowhere\.yaml: no such target"):
        Target.parse("nowhere.yaml")
