"""Reading what TFLite's and LiteRT's `benchmark_model` print, in every dialect since 2019.

The two tools share a name and their timing loop, which prints whole microseconds:

    INFO: Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
    INFO: count=50 first=79449 curr=81350 min=77385 max=88213 avg=79732 std=1929 p5=77400 median=79500 p95=83100

once for warming up and once for timing. `INFO: `, the percentiles and the end of the first line are younger than the
rest; equal times are `count=3 curr=5(all same)`, a single one is `count=1 curr=5`. Then comes the result:

    INFO: Inference timings in us: Init: 870557, First inference: 130565, Warmup (avg): 122373, Inference (avg): 79732
    Average inference timings in us: Warmup: 83235, Init: 38467, no stats: 79732         until 2020, also `Inference: `
    INFO: [benchmark_litert_model.h:91] Inference (avg):      79.73 ms (50 runs)         LiteRT's

Tables of operations may follow. Their times are slowed by profiling and are never taken for the result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from profilers.errors import DeviceError
from profilers.measurement import Statistics

Tool = Literal["tflite", "litert"]

_US, _LITERT_DIGIT_MS = 1e-3, 0.01  # in ms
_WHOLE = r"\d{1,15}"
_NUMBER = r"\d{1,15}(?:\.\d{1,15})?(?:e[+-]\d{1,2})?"  # C++ prints six digits: 1.23457e+06
_PREFIX = re.compile(r"(?:INFO: )?(?:\[[\w.]+:\d+\] )?")
_RUNNING = re.compile(r"Running benchmark for at least \d+ iterations.*")
_TIMES = re.compile(
    rf"count=(?P<count>{_WHOLE}) "
    rf"(?:first=(?P<first>{_WHOLE}) curr=(?P<curr>{_WHOLE}) min=(?P<min>{_WHOLE}) max=(?P<max>{_WHOLE})"
    rf" avg=(?P<avg>{_NUMBER}) std=\S+|curr=(?P<only>{_WHOLE})(?P<all_same>\(all same\))?)"
    rf"(?: p5=(?P<p5>{_WHOLE}) median=(?P<median>{_WHOLE}) p95=(?P<p95>{_WHOLE}))?"
)
_RESULT_MARK = re.compile(r"(?:Average i|I)nference timings in us:|Inference \(avg\):")
_RESULT_US = re.compile(
    rf"Inference timings in us: Init: {_NUMBER}, First inference: {_NUMBER}, Warmup \(avg\): {_NUMBER}, "
    rf"Inference \(avg\): (?P<new>{_NUMBER})"
    rf"|Average inference timings in us: Warmup: {_NUMBER}, Init: {_NUMBER}, (?:no stats|Inference): (?P<old>{_NUMBER})"
)
_RESULT_MS = re.compile(r"Inference \(avg\): +(?P<mean>\d{1,12}\.\d\d) ms \((?P<count>\d{1,9}) runs\)")
_BOUND_MS = re.compile(r"Inference \((?P<name>min|max)\): +(?P<ms>\d{1,12}\.\d\d) ms")
_WHOLE_GRAPH = re.compile(r"Explicitly applied (\w+) delegate, and the model graph will be completely executed")
_SPLIT_GRAPH = re.compile(
    r"(?:First )?(\d+) operations will run on the GPU, and the remaining (\d+) (?:operations will run )?on the CPU"
)
_REFUSED_OPS = re.compile(r"(?:Following|Next) operations are not supported by GPU delegate:\n((?:[A-Z0-9_]+: ?.*\n)+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The result of one run of the tool; the oldest tells nothing but the mean."""

    mean_ms: float
    statistics: Statistics | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolFlags:
    """Which of the two tools it is, and the flags it knows."""

    tool: Tool
    names: frozenset[str]


def read_flags(help_text: str) -> ToolFlags:
    """What `--help` tells; raises DeviceError where it is not the help of a benchmark_model."""
    names = frozenset(re.findall(r"^\s*--([\w-]+)=", help_text, re.MULTILINE))
    if not {"graph", "num_threads", "num_runs", "warmup_runs"} <= names:
        raise DeviceError(f"--help does not tell benchmark_model's flags: {shortened(help_text)}")
    return ToolFlags(tool="litert" if "use_cpu" in names else "tflite", names=names)


def read_timings(output: str) -> Reading:
    """The result of a run that ended well; raises DeviceError with the text for anything else."""
    lines = [_PREFIX.sub("", line.rstrip("\r"), count=1) for line in output.split("\n")[:-1]]  # whole lines only
    if "Benchmarking failed" in output:
        raise _unreadable("it failed", output)
    results = [line for line in lines if _RESULT_MARK.match(line)]
    if len(results) != 1:
        raise _unreadable(f"{len(results)} lines with a result, not one", output)
    try:
        return _reading(results[0], _timed(lines), lines)
    except ValueError as error:
        raise _unreadable(str(error), output) from None


def require_whole_graph(output: str, delegate: str) -> None:
    """Raise DeviceError, with the operations that stayed on the CPU, unless `delegate` took all of them."""
    if delegate in _WHOLE_GRAPH.findall(output):
        return
    split, refused = _SPLIT_GRAPH.search(output), _REFUSED_OPS.search(output)
    told = "the whole model" if split is None else f"{split[2]} of {int(split[1]) + int(split[2])} operations"
    ops = "" if refused is None else f" ({'; '.join(refused[1].split(chr(10))[:-1])})"
    raise DeviceError(f"{told} did not run on the {delegate}{ops}: nothing was measured; use accelerator=cpu")


def require_known_flags(output: str) -> None:
    """Raise DeviceError where the tool ignored a flag, as it does with those it does not know."""
    if ignored := re.search(r"Unconsumed cmdline flags: (.*)", output):
        raise DeviceError(f"this benchmark_model does not know {ignored[1].strip()}; use a newer one")


def complaint(output: str) -> str:
    """Why a run failed: the tool's own words for it, or the last that it said."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "FATAL")) and "Benchmarking failed" not in line]
    return shortened(" ".join(errors or lines[-1:]) or "it said nothing")


def shortened(text: str, limit: int = 200) -> str:
    """One line of at most `limit` characters, the end of it where there are more."""
    line = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(line.split())
    return line if len(line) <= limit else f"…{line[len(line) - limit + 1 :]}"


def _timed(lines: list[str]) -> re.Match[str] | None:
    """The line of times that follows the last announcement of runs; None where runs were not announced."""
    announced = [number for number, line in enumerate(lines) if _RUNNING.fullmatch(line)]
    if not announced:
        return None
    told = next((line for line in lines[announced[-1] :] if line.startswith("count=")), "")
    times = _TIMES.fullmatch(told)
    if times is None:
        raise ValueError(f"times that cannot be read: {told!r}")
    return times


def _reading(result: str, times: re.Match[str] | None, lines: list[str]) -> Reading:
    """Raises ValueError for what cannot be read, or contradicts itself."""
    if found := _RESULT_US.fullmatch(result):
        mean_ms = float(found["new"] or found["old"]) * _US
        statistics = None if times is None else _statistics(times)
        if statistics is not None and statistics.mean_ms != mean_ms:
            raise ValueError(f"mean {statistics.mean_ms} ms, but result {mean_ms} ms")
        _require_positive(mean_ms)
        return Reading(mean_ms=mean_ms, statistics=statistics)
    if found := _RESULT_MS.fullmatch(result):
        mean_ms, count = float(found["mean"]), int(found["count"])
        statistics = _litert_statistics(mean_ms, count, lines) if times is None else _statistics(times)
        if statistics.count != count or abs(statistics.mean_ms - mean_ms) > 0.51 * _LITERT_DIGIT_MS:
            raise ValueError(f"{statistics.count} runs of {statistics.mean_ms} ms, but result {result!r}")
        return Reading(mean_ms=statistics.mean_ms, statistics=statistics)
    raise ValueError(f"a result that cannot be read: {result!r}")


def _statistics(times: re.Match[str]) -> Statistics:
    count = int(times["count"])
    if (count > 1) != (times["only"] is None or times["all_same"] is not None):
        raise ValueError(f"{count} runs that are told as {times[0]!r}")
    us = {
        name: float(value) for name, value in times.groupdict().items() if value and name not in {"count", "all_same"}
    }
    if "only" in us:
        us |= dict.fromkeys(("first", "curr", "min", "max", "avg"), us["only"])
    if not all(us["min"] <= us[name] <= us["max"] for name in ("first", "curr")):
        raise ValueError("a first or last time outside of least and most")
    return Statistics(
        count=count,
        mean_ms=us["avg"] * _US,
        min_ms=us["min"] * _US,
        max_ms=us["max"] * _US,
        resolution_ms=_US,
        p5_ms=us["p5"] * _US if "p5" in us else None,
        median_ms=us["median"] * _US if "median" in us else None,
        p95_ms=us["p95"] * _US if "p95" in us else None,
    )


def _litert_statistics(mean_ms: float, count: int, lines: list[str]) -> Statistics:
    """LiteRT's summary alone, without the line of times: two decimals, too few for what takes under half of a ms."""
    _require_positive(mean_ms)
    if mean_ms * 0.01 < _LITERT_DIGIT_MS / 2:
        raise ValueError(f"{mean_ms} ms is rounded by more than a percent, and the line of times is missing")
    bounds = {found["name"]: float(found["ms"]) for line in lines if (found := _BOUND_MS.fullmatch(line))}
    if set(bounds) != {"min", "max"}:
        raise ValueError("no least and most time")
    least_ms, most_ms = bounds["min"], bounds["max"]
    return Statistics(count=count, mean_ms=mean_ms, min_ms=least_ms, max_ms=most_ms, resolution_ms=_LITERT_DIGIT_MS)


def _require_positive(mean_ms: float) -> None:
    if mean_ms <= 0:
        raise ValueError(f"a result of {mean_ms} ms")


def _unreadable(why: str, output: str) -> DeviceError:
    return DeviceError(f"benchmark_model's output cannot be read: {shortened(why)}: {shortened(output) or 'nothing'}")
