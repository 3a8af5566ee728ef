from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers import agent
from profilers.artifact import Artifact
from profilers.runtimes import RUNTIMES

runtimes = pytest.mark.parametrize("runtime", RUNTIMES)
SOURCE = Path(agent.__file__).read_text()


class Talk:
    """A running agent and the lines to and from it."""

    def __init__(self) -> None:
        command = [sys.executable, "-P", agent.__file__]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request: object) -> dict[str, Any]:
        return self.ask_line(json.dumps(request))

    def ask_line(self, line: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(line, file=self.process.stdin, flush=True)
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def burst(self, path: Path, *, runs: int, warmup_runs: int = 0, max_runs: int = 1000) -> dict[str, Any]:
        numbers = {"runs": runs, "warmup_runs": warmup_runs, "max_runs": max_runs, "warmup_ms": 0, "burst_ms": 0}
        return self.ask(do="burst", path=str(path), **numbers)


@pytest.fixture
def talk() -> Iterator[Talk]:
    talk = Talk()
    with talk.process:  # closes its stdin and waits for it
        yield talk


@runtimes
def test_a_burst_answers_the_time_of_every_run(talk: Talk, compiled: dict[str, Artifact], runtime: str) -> None:
    talk.ask(do="open", runtime=runtime, threads=1)
    answer = talk.burst(compiled[f"{runtime} network"].path, runs=7, warmup_runs=2)
    assert (len(answer["times_ns"]), len(answer["warmup_ns"])) == (7, 2)
    assert min(answer["times_ns"]) > 0


@runtimes
def test_opening_tells_where_and_by_what_is_measured(talk: Talk, runtime: str) -> None:
    facts = talk.ask(do="open", runtime=runtime, threads=1)["environment"]
    assert facts["runtime"] == runtime
    assert facts["runtime_version"][-1].isdigit()
    assert set(facts) >= {"agent", "machine", "cpu", "cores", "os", "governor", "affinity"}
    assert all(isinstance(value, str) and value for value in facts.values())


@pytest.mark.parametrize("threads", {1, len(os.sched_getaffinity(0))})
def test_the_agent_pins_itself_to_as_many_cores_as_it_has_threads(talk: Talk, threads: int) -> None:
    facts = talk.ask(do="open", runtime="onnxruntime", threads=threads)["environment"]
    pinned = os.sched_getaffinity(talk.process.pid)
    assert len(pinned) == threads
    assert facts["affinity"] == ",".join(map(str, sorted(pinned)))


def test_more_threads_than_cores_are_refused(talk: Talk) -> None:
    cores = len(os.sched_getaffinity(0))
    answer = talk.ask(do="open", runtime="litert", threads=cores + 1)
    assert answer == {"error": f"ValueError: {cores + 1} threads asked, but only {cores} cores are available"}


def test_the_state_is_told_at_any_time(talk: Talk) -> None:
    state = talk.ask(do="state")["state"]
    assert float(state["load"]) >= 0
    assert set(state) == {"load", "frequencies_khz", "temperatures_millicelsius", "time"}


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("", "JSONDecodeError"),
        ("[1]", "TypeError"),
        ('{"do": "dance"}', "ValueError: no request 'dance'"),
        ('{"do": "burst", "path": "m.onnx"}', "ValueError: open comes before burst"),
        ('{"do": "open", "runtime": "tvm", "threads": 1}', "KeyError: 'tvm'"),
    ],
)
def test_a_request_that_fails_is_answered_and_the_next_one_served(talk: Talk, line: str, error: str) -> None:
    assert talk.ask_line(line)["error"].startswith(error)
    assert "state" in talk.ask(do="state")


@runtimes
def test_a_file_that_is_no_model_is_answered_with_the_runtime_s_words(talk: Talk, tmp_path: Path, runtime: str) -> None:
    talk.ask(do="open", runtime=runtime, threads=1)
    (tmp_path / "text").write_text("this is no model")
    assert "error" in talk.burst(tmp_path / "text", runs=1)
    assert "error" in talk.burst(tmp_path / "missing", runs=1)


def test_the_agent_ends_with_its_input() -> None:
    talk = Talk()
    with talk.process:
        pass
    assert talk.process.returncode == 0


class Clock:
    """Stands still but for the calls of what it times, which take the given times in turn."""

    def __init__(self, durations_ns: list[int]) -> None:
        self.now_ns = 0
        self.durations_ns = durations_ns
        self.calls = 0

    def __call__(self) -> int:
        return self.now_ns

    def invoke(self) -> None:
        self.now_ns += self.durations_ns[self.calls % len(self.durations_ns)]
        self.calls += 1


@given(st.integers(0, 20), st.integers(0, 40), st.integers(1, 60), st.integers(1, 10**7))
def test_runs_are_timed_until_both_minima_and_never_past_the_maximum(
    runs: int, min_ms: int, max_runs: int, duration_ns: int
) -> None:
    clock = Clock([duration_ns])
    times = agent.time_runs(clock.invoke, runs, min_ms, max_runs, clock)
    assert times == [duration_ns] * min(max_runs, max(runs, ceil(min_ms * 10**6 / duration_ns)))
    assert clock.calls == len(times)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30))
def test_each_run_is_timed_by_itself_and_in_order(durations_ns: list[int]) -> None:
    clock = Clock(durations_ns)
    assert agent.time_runs(clock.invoke, len(durations_ns), 0, 1000, clock) == durations_ns


def test_the_agent_is_python_3_8() -> None:
    ast.parse(SOURCE, feature_version=(3, 8))


def test_the_agent_needs_only_the_standard_library_numpy_and_a_runtime() -> None:
    nodes = list(ast.walk(ast.parse(SOURCE)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert packages == {"numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime"}
