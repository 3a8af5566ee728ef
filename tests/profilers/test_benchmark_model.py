from __future__ import annotations

from dataclasses import asdict
from math import inf
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.android.benchmark_model import (
    complaint,
    read_flags,
    read_timings,
    require_known_flags,
    require_whole_graph,
    shortened,
)
from profilers.environment import Environment
from profilers.errors import DeviceError
from profilers.journal import Journal
from profilers.measurement import Burst, Statistics
from profilers.protocol import PROTOCOLS
from profilers.target import Target

FIXTURES = Path(__file__).parent / "fixtures" / "benchmark_model"
TYPICAL_MS = {
    "tflite": 79.5,
    "tflite_without_percentiles": 79.732,
    "tflite_2019": 79.7609,
    "all_same": 0.005,
    "single": 598.231,
    "seconds": 1234.569,
    "litert": 7.954,
    "litert_summary": 7.97,
    "profiled": 79.5,
    "gpu": 79.5,
}


def output(name: str) -> str:
    return (FIXTURES / f"{name}.txt").read_text()


def read(text: str) -> Statistics:
    statistics = read_timings(text).statistics
    assert statistics is not None
    return statistics


@pytest.mark.parametrize("name", TYPICAL_MS)
def test_every_dialect_is_read_in_milliseconds(name: str) -> None:
    assert read(output(name)).typical_ms == pytest.approx(TYPICAL_MS[name], rel=1e-9)


@pytest.mark.parametrize("name", TYPICAL_MS)
def test_lines_may_end_as_old_phones_end_them(name: str) -> None:
    assert read_timings(output(name).replace("\n", "\r\n")) == read_timings(output(name))


def test_all_that_is_told_is_kept() -> None:
    times_ms = {"mean": 79.732, "min": 77.385, "max": 88.213, "p5": 77.4, "median": 79.5, "p95": 83.1}
    told = {f"{name}_ms": time_ms for name, time_ms in times_ms.items()} | {"count": 50, "resolution_ms": 0.001}
    assert asdict(read(output("tflite"))) == pytest.approx(told)


def test_times_that_are_all_the_same_count() -> None:
    told = read(output("all_same"))
    assert (told.count, told.min_ms, told.median_ms, told.max_ms) == (10, 0.005, 0.005, 0.005)


def test_the_oldest_dialect_tells_the_mean_alone() -> None:
    reading = read_timings(output("tflite_mean_only"))
    assert reading.mean_ms == pytest.approx(79.7609)
    assert reading.statistics is None


def test_a_profile_s_slower_times_are_not_taken() -> None:
    assert read(output("profiled")) == read(output("tflite"))


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("tflite", "Inference (avg): 79732", "Inference (avg): 0", "mean .* but result 0"),
        ("tflite_mean_only", "79760.9", "0", "a result of 0.0 ms"),
        ("tflite_mean_only", "79760.9", "-79760.9", "a result that cannot be read"),
        ("tflite_mean_only", "79760.9", "nan", "a result that cannot be read"),
        ("tflite_mean_only", "79760.9", "inf", "a result that cannot be read"),
        ("tflite", "median=79500", "median=7950", "not in order"),
        ("tflite", "curr=81350", "curr=91350", "outside of least and most"),
        ("tflite", "avg=79732", "avg=79.732", "a mean outside of"),
        ("tflite", "count=50 ", "count=5x0 ", "times that cannot be read"),
        ("tflite", "count=50 ", "count=0 ", "0 runs that are told|0 inferences"),
        ("all_same", "(all same)", "", "10 runs that are told as"),
        ("all_same", "=5", "=0", "not positive|but result"),
        ("single", "count=1 curr=598231", "count=2 curr=598231", "2 runs that are told as"),
        ("litert", "(126 runs)", "(125 runs)", "126 runs .* but result"),
        ("litert", "7.97 ms", "79.70 ms", "126 runs of .* but result"),
        ("litert_summary", "7.97 ms", "0.00 ms", "a result of 0.0 ms"),
        ("litert_summary", "7.97 ms", "0.49 ms", "rounded by more than a percent"),
        ("litert_summary", "(min)", "(least)", "no least and most"),
    ],
)
def test_what_contradicts_itself_is_an_error_not_a_time(name: str, old: str, new: str, message: str) -> None:
    assert old in output(name)
    with pytest.raises(DeviceError, match=f"benchmark_model's output cannot be read: .*({message})"):
        read_timings(output(name).replace(old, new))


def test_two_results_are_none() -> None:
    with pytest.raises(DeviceError, match="2 lines with a result, not one"):
        read_timings(output("tflite") * 2)


@pytest.mark.parametrize("text", ["", "\n", "sh: benchmark_model: not found\n", "Inference (avg): \n"])
def test_something_else_is_told_by_its_text(text: str) -> None:
    with pytest.raises(DeviceError, match="cannot be read") as failed:
        read_timings(text)
    assert shortened(text) in str(failed.value)


def test_a_failed_run_is_no_result_even_where_it_prints_one() -> None:
    with pytest.raises(DeviceError, match="cannot be read: it failed"):
        read_timings(output("tflite") + "ERROR: Benchmarking failed.\n")
    assert complaint(output("failed")).endswith("ERROR: Failed to load model /data/local/tmp/millis/m.tflite")
    assert complaint("") == "it said nothing"


@pytest.mark.parametrize("name", TYPICAL_MS)
def test_output_that_is_cut_off_before_its_result_s_line_ends_is_an_error(name: str) -> None:
    text = output(name)
    result = max(text.rfind("nference timings in us:"), text.rfind("Inference (avg):"))
    end = text.index("\n", result)
    for length in range(end + 1):
        with pytest.raises(DeviceError):
            read_timings(text[:length])


def test_output_is_complete_with_its_result_s_line() -> None:
    assert read_timings(output("seconds")) == read_timings(output("seconds") + "whatever follows")


@settings(max_examples=300)
@given(st.text() | st.binary().map(lambda data: data.decode(errors="replace")))
def test_any_text_is_an_error_or_a_positive_time(text: str) -> None:
    try:
        reading = read_timings(text)
    except DeviceError:
        return
    assert 0 < reading.mean_ms < inf


LINES = st.lists(st.sampled_from([line for name in TYPICAL_MS for line in output(name).splitlines()]), max_size=12)
MEANS_MS = [read_timings(output(name)).mean_ms for name in TYPICAL_MS]


@settings(max_examples=300)
@given(LINES)
def test_any_mixture_of_lines_is_an_error_or_one_of_the_times(lines: list[str]) -> None:
    try:
        reading = read_timings("".join(f"{line}\n" for line in lines))
    except DeviceError:
        return
    assert any(reading.mean_ms == pytest.approx(mean_ms, rel=0.01) for mean_ms in MEANS_MS)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, str]:
    """An output's name, and its text with one stretch of it lost, doubled or overwritten."""
    name = draw(st.sampled_from(sorted(TYPICAL_MS)))
    text = output(name)
    first_timing = text.find("Running benchmark")
    begin = draw(st.integers(max(first_timing, 0), len(text) - 1))
    end = min(begin + draw(st.integers(1, 20)), len(text))
    put = draw(st.sampled_from(["", text[begin:end] * 2]) | st.text("0123456789.e+-=\n ()", max_size=4))
    return name, text[:begin] + put + text[end:]


@settings(max_examples=1000)
@given(mutated())
def test_one_wound_never_makes_a_wildly_wrong_time(case: tuple[str, str]) -> None:
    name, text = case
    try:
        told = read(text)
    except (DeviceError, AssertionError):
        return
    true = read(output(name))
    assert true.min_ms <= told.typical_ms <= true.max_ms


@pytest.mark.parametrize(("name", "tool"), [("help_tflite", "tflite"), ("help_litert", "litert")])
def test_the_two_tools_are_told_apart_by_their_help(name: str, tool: str) -> None:
    flags = read_flags(output(name))
    assert flags.tool == tool
    assert {"graph", "use_gpu", "warmup_min_secs"} <= flags.names


@pytest.mark.parametrize("text", ["", "sh: not found", "usage: other\n\t--graph=\tstring\n", output("tflite")])
def test_another_program_is_not_the_tool(text: str) -> None:
    with pytest.raises(DeviceError, match="--help does not tell benchmark_model's flags"):
        read_flags(text)


def test_a_model_that_is_wholly_on_the_gpu_passes() -> None:
    require_whole_graph(output("gpu"), "GPU")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "gpu_in_part",
            r"4 of 65 operations did not run on the GPU \(GATHER_ND: Operation is not supported.; TRANSPOSE",
        ),
        ("gpu_not_at_all", "the whole model did not run on the GPU: nothing was measured"),
        ("tflite", "the whole model did not run on the GPU"),
    ],
)
def test_operations_left_on_the_cpu_are_an_error_that_names_them(name: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        require_whole_graph(output(name), "GPU")


def test_a_flag_that_was_ignored_is_an_error() -> None:
    require_known_flags(output("tflite"))
    with pytest.raises(
        DeviceError, match="does not know --use_gpu=true --gpu_precision_loss_allowed=false; use a newer"
    ):
        require_known_flags(output("unknown_flag"))


@given(st.text(), st.integers(2, 50))
def test_a_shortened_text_is_one_printable_line(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit
    assert shortened(text, limit).isprintable()


def test_a_median_of_few_microseconds_is_coarser_than_the_mean() -> None:
    coarse = Statistics(
        count=10, mean_ms=0.0074, min_ms=0.007, max_ms=0.009, median_ms=0.007, p95_ms=0.008, resolution_ms=0.001
    )
    assert (Burst(round=0, statistics=coarse).median_ms, coarse.p90_bound_ms) == (0.0074, 0.008)


def test_statistics_stand_in_a_journal_for_the_times_that_are_not_told(tmp_path: Path) -> None:
    target, protocol, burst = (
        Target(runtime="litert"),
        PROTOCOLS["quick"],
        Burst(round=0, statistics=read(output("gpu"))),
    )
    with Journal(tmp_path / "j.jsonl", target, protocol) as journal:
        journal.begin(Environment({}), {})
        journal.append("op", "sha", burst)
    with Journal(tmp_path / "j.jsonl", target, protocol) as journal:
        measured = journal.measurements()["op", "sha"]
    assert measured.bursts == (burst,)
    assert (measured.samples, measured.median_ms, measured.p90_ms) == pytest.approx((50, 79.5, 83.1))
