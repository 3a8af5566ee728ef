from __future__ import annotations

import ast
import fcntl
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
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

    def open(self, runtime: str, *, threads: int = 1, cores: str = "big") -> dict[str, Any]:
        return self.ask(do="open", runtime=runtime, threads=threads, cores=cores, accelerator="cpu")

    def burst(self, path: Path, *, runs: int, warmup_runs: int = 0, max_runs: int = 1000) -> dict[str, Any]:
        numbers = {"runs": runs, "warmup_runs": warmup_runs, "max_runs": max_runs, "warmup_ms": 0, "burst_ms": 0}
        return self.ask(do="burst", path=str(path), **numbers)


@pytest.fixture
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where an agent that is started after this keeps its files."""
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path))
    return tmp_path / "models"


@pytest.fixture
def talk(keeping: Path) -> Iterator[Talk]:  # noqa: ARG001 - set before the agent starts
    talk = Talk()
    with talk.process:  # closes its stdin and waits for it
        yield talk


@runtimes
def test_a_burst_answers_the_time_of_every_run(talk: Talk, compiled: dict[str, Artifact], runtime: str) -> None:
    talk.open(runtime)
    answer = talk.burst(compiled[f"{runtime} network"].path, runs=7, warmup_runs=2)
    assert (len(answer["times_ns"]), len(answer["warmup_ns"])) == (7, 2)
    assert min(answer["times_ns"]) > 0


@runtimes
def test_opening_tells_where_and_by_what_is_measured(talk: Talk, runtime: str) -> None:
    facts = talk.open(runtime)["environment"]
    assert facts["runtime"] == runtime
    assert facts["runtime_version"][-1].isdigit()
    assert set(facts) >= {"agent", "machine", "cpu", "cores", "os", "governor", "affinity"}
    assert all(isinstance(value, str) and value for value in facts.values())


@pytest.mark.parametrize("threads", {1, len(os.sched_getaffinity(0))})
def test_the_agent_pins_itself_to_as_many_cores_as_it_has_threads(talk: Talk, threads: int) -> None:
    facts = talk.open("onnxruntime", threads=threads)["environment"]
    pinned = os.sched_getaffinity(talk.process.pid)
    assert len(pinned) == threads
    assert facts["affinity"] == ",".join(map(str, sorted(pinned)))


def test_more_threads_than_cores_are_refused(talk: Talk) -> None:
    cores = len(os.sched_getaffinity(0))
    answer = talk.open("litert", threads=cores + 1)
    assert answer == {"error": f"ValueError: {cores + 1} threads asked, but only {cores} cores are available"}


CORES = {0: 1_800_000, 1: 1_800_000, 2: 2_400_000, 3: 2_900_000}  # little, little, big, prime


@pytest.mark.parametrize(
    ("threads", "choice", "chosen"),
    [(1, "big", [3]), (2, "big", [2, 3]), (4, "big", [0, 1, 2, 3]), (1, "little", [0]), (3, "little", [0, 1, 2])],
)
def test_the_cores_are_chosen_by_their_own_frequencies(
    monkeypatch: pytest.MonkeyPatch, threads: int, choice: str, chosen: list[int]
) -> None:
    pinned = list[list[int]]()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(CORES))
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: pinned.append(cores))
    monkeypatch.setattr(agent, "max_frequency_khz", CORES.__getitem__)
    assert agent.pin(threads, choice) == chosen
    assert pinned == [chosen]


def test_any_core_means_no_pinning(talk: Talk) -> None:
    assert talk.open("onnxruntime", cores="any")["environment"]["affinity"] == "not pinned"
    assert os.sched_getaffinity(talk.process.pid) == os.sched_getaffinity(0)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ({"core 3 freq": 2_900_000, "core 3 count": 7}, ""),
        ({"core 3 freq": 2_700_000, "core 3 count": 7}, ""),
        ({"core 3 freq": 1_900_000, "core 3 count": 7}, "core 3 freq 2900000 to 1900000"),
        ({"core 3 freq": 2_900_000, "core 3 count": 8}, "core 3 count 7 to 8"),
        ({}, ""),
    ],
)
def test_a_clock_that_moved_disturbs_a_burst(after: dict[str, int], told: str) -> None:
    assert agent.disturbance({"core 3 freq": 2_900_000, "core 3 count": 7}, after) == told


def test_a_file_is_kept_by_its_content_and_found_again(talk: Talk, keeping: Path) -> None:
    name = f"{sha256(b'model').hexdigest()}.tflite"
    assert talk.ask(do="find", name=name) == {"path": None}
    assert talk.ask(do="keep", name=name, base64=b64encode(b"model").decode()) == {"path": str(keeping / name)}
    assert talk.ask(do="find", name=name) == {"path": str(keeping / name)}
    (keeping / name).write_bytes(b"mod")
    assert talk.ask(do="find", name=name) == {"path": None}


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("../../.bashrc", "is not the SHA-256 of a file"),
        ("/" + "0" * 64, "is not the SHA-256 of a file"),
        ("0" * 64 + ".tflite", "arrived with other content than its name says"),
    ],
)
def test_a_file_under_a_wrong_name_is_refused(talk: Talk, keeping: Path, name: str, error: str) -> None:
    assert error in talk.ask(do="keep", name=name, base64=b64encode(b"model").decode())["error"]
    assert not keeping.exists() or not list(keeping.iterdir())


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
    talk.open(runtime)
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

    def run_ns(self) -> int:
        return agent.host_ns(self.invoke, self)


@given(st.integers(0, 20), st.integers(0, 40), st.integers(1, 60), st.integers(1, 10**7))
def test_runs_are_timed_until_both_minima_and_never_past_the_maximum(
    runs: int, min_ms: int, max_runs: int, duration_ns: int
) -> None:
    clock = Clock([duration_ns])
    times = agent.time_runs(clock.run_ns, runs, min_ms, max_runs)
    assert times == [duration_ns] * min(max_runs, max(runs, ceil(min_ms * 10**6 / duration_ns)))
    assert clock.calls == len(times)


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30))
def test_each_run_is_timed_by_itself_and_in_order(durations_ns: list[int]) -> None:
    clock = Clock(durations_ns)
    assert agent.time_runs(clock.run_ns, len(durations_ns), 0, 1000) == durations_ns


def test_the_agent_is_python_3_8() -> None:
    ast.parse(SOURCE, feature_version=(3, 8))


def test_the_agent_needs_only_the_standard_library_numpy_and_a_runtime() -> None:
    nodes = list(ast.walk(ast.parse(SOURCE)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert packages == {"numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime", "torch"}


def test_of_two_agents_on_a_machine_one_times_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path))
    with agent.alone(), (tmp_path / "timing.lock").open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ({"/proc/cpuinfo": "processor: 0\nmodel name : Intel 8086"}, "Intel 8086"),
        (
            {
                "/proc/cpuinfo": "CPU part : 0xd03\nCPU part : 0xd03\nCPU part : 0xd08",
                "/proc/device-tree/model": "Pi 9\0",
            },
            "Pi 9, 2 cores of part 0xd03, 1 cores of part 0xd08",
        ),
    ],
)
def test_a_processor_without_a_name_is_told_by_its_board_and_cores(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], name: str
) -> None:
    monkeypatch.setattr(agent, "read", lambda path: files.get(path, ""))
    assert agent.cpu_model() == name
