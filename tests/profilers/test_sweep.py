from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profilers.artifact import Artifact, TensorSpec
from profilers.devices import Notify
from profilers.environment import Environment
from profilers.errors import DeviceError, DeviceLostError, EnvironmentMismatchError
from profilers.measurement import Burst, Measurement
from profilers.protocol import Protocol
from profilers.sweep import sweep
from profilers.target import Target

TARGET = Target(runtime="onnxruntime")
PROTOCOL = Protocol(name="test", rounds=3, max_rounds=6, bursts_per_sentinel=2)
MODELS = "abcde"
SENTINEL = "c"  # of middling size
TRUE_MS = {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0, "e": 5.0}
UNDISTURBED_BURSTS = len(MODELS) * PROTOCOL.rounds + 10  # with the sentinel's
TimeOf = Callable[[str, int], float]  # sha256 of a model, how many bursts were taken before -> ms


def artifact(name: str, sha256: str | None = None) -> Artifact:
    image = TensorSpec(name="image", shape=(1, 3, 8, 8), dtype="float32", layout="NCHW")
    path, size_bytes = Path(f"{name}.onnx"), ord(name)
    return Artifact(path=path, format="onnx", inputs=(image,), outputs=(), size_bytes=size_bytes, sha256=sha256 or name)


WORK = {name: artifact(name) for name in MODELS}


def steady(sha256: str, _taken: int) -> float:
    return TRUE_MS[sha256]


class Board:
    """A device that takes as long as it is told and may be unplugged before a burst; remembers its bursts."""

    def __init__(self, time_of: TimeOf = steady, unplugged_at: int | None = None, cpu: str = "imaginary") -> None:
        self.time_of = time_of
        self.unplugged_at = unplugged_at
        self.environment = Environment({"cpu": cpu})
        self.bursts: list[str] = []
        self.opened = self.closed = 0

    def open(self, target: Target, notify: Notify) -> Board:
        assert target == TARGET
        self.opened += 1
        return self

    def state(self) -> dict[str, str]:
        return {"load": "0.00"}

    def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        if len(self.bursts) == self.unplugged_at:
            raise DeviceError("unplugged")
        time_ms = self.time_of(artifact.sha256, len(self.bursts))
        self.bursts.append(artifact.sha256)
        return Burst(round=round, times_ms=(time_ms,) * 2)

    def close(self) -> None:
        self.closed += 1


def measured(board: Board, journal: Path, work: dict[str, Artifact] = WORK) -> dict[str, Measurement]:
    return sweep(work, TARGET, PROTOCOL, journal, opener=board.open, sleep=lambda seconds: None)


def lines_of(journal: Path) -> list[dict[str, Any]]:
    """The bursts of a journal as they were written."""
    return [line for line in map(json.loads, journal.read_text().splitlines()) if "environment" not in line]


def slots(journal: Path) -> Counter[tuple[str, int]]:
    """How often each model was timed in each round."""
    return Counter((line["key"], line["round"]) for line in lines_of(journal) if line["key"] is not None)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "t.measurements.jsonl"


def test_every_model_is_measured_once_in_each_round(journal: Path) -> None:
    found = measured(Board(), journal)
    assert {key: each.median_ms for key, each in found.items()} == TRUE_MS
    assert slots(journal) == {(name, round): 1 for name in MODELS for round in range(PROTOCOL.rounds)}


def test_the_order_differs_between_rounds_and_is_no_matter_of_chance(journal: Path, tmp_path: Path) -> None:
    board, again = Board(), Board()
    measured(board, journal)
    measured(again, tmp_path / "again.jsonl")
    rounds = [[line["key"] for line in lines_of(journal) if line["key"] and line["round"] == i] for i in range(3)]
    assert len({tuple(order) for order in rounds}) == 3
    assert board.bursts == again.bursts


def test_the_sentinel_stands_before_between_and_after_the_bursts(journal: Path) -> None:
    measured(Board(), journal)
    places = [i for i, line in enumerate(lines_of(journal)) if line["key"] is None]
    assert (places[0], places[-1]) == (0, len(lines_of(journal)) - 1)
    assert all(2 <= later - earlier <= PROTOCOL.bursts_per_sentinel + 1 for earlier, later in pairwise(places))
    assert {line["sha256"] for line in lines_of(journal) if line["key"] is None} == {SENTINEL}


def test_a_noisy_model_is_measured_again_and_stays_flagged(journal: Path) -> None:
    def noisy(sha256: str, taken: int) -> float:
        return TRUE_MS[sha256] * (1 + 0.1 * (taken % 11) if sha256 == "e" else 1)

    found = measured(Board(noisy), journal)
    assert {key: len(each.bursts) for key, each in found.items()} == {"a": 3, "b": 3, "c": 3, "d": 3, "e": 6}
    assert [key for key, each in found.items() if each.verdict == "noisy"] == ["e"]


def test_a_model_that_settles_is_measured_no_further(journal: Path) -> None:
    def settling(sha256: str, taken: int) -> float:
        return TRUE_MS[sha256] * (1.5 if sha256 == "e" and taken < 8 else 1)

    found = measured(Board(settling), journal)
    assert found["e"].verdict == "steady"
    assert PROTOCOL.rounds < len(found["e"].bursts) < PROTOCOL.max_rounds


def test_a_device_that_is_slowed_down_is_given_time(journal: Path) -> None:
    def slowed(sha256: str, taken: int) -> float:
        return TRUE_MS[sha256] * (1.3 if 10 <= taken < 28 else 1)

    slept, notes = list[float](), list[str]()
    board = Board(slowed)
    found = sweep(WORK, TARGET, PROTOCOL, journal, opener=board.open, sleep=slept.append, notify=notes.append)
    assert {key: each.median_ms for key, each in found.items()} == TRUE_MS
    assert len(board.bursts) <= UNDISTURBED_BURSTS + len(slept) + 2 * PROTOCOL.bursts_per_sentinel + 1
    assert notes == ["the device is 30% slower than it was; waiting"]


def test_another_sentinel_in_the_same_journal_is_no_slower_device(journal: Path) -> None:
    sweep({"a": WORK["a"]}, TARGET, PROTOCOL, journal, opener=Board().open)
    slept = list[float]()
    sweep({"e": WORK["e"]}, TARGET, PROTOCOL, journal, opener=Board().open, sleep=slept.append)
    assert not any(slept)


def test_a_device_that_stays_slower_is_not_waited_for_for_ever(journal: Path) -> None:
    slept = list[float]()
    board = Board(lambda sha256, taken: TRUE_MS[sha256] * (1.3 if taken >= 10 else 1))
    sweep(WORK, TARGET, PROTOCOL, journal, opener=board.open, sleep=slept.append)
    assert sum(pause > 0 for pause in slept) < 40


@settings(max_examples=25)
@given(begin=st.integers(1, 20), length=st.integers(1, 6))
def test_bursts_of_a_time_when_all_was_slower_are_void_and_taken_again(
    tmp_path_factory: pytest.TempPathFactory, begin: int, length: int
) -> None:
    def drifting(sha256: str, taken: int) -> float:
        return TRUE_MS[sha256] * (1.2 if begin <= taken < begin + length else 1)

    board = Board(drifting)
    found = measured(board, tmp_path_factory.mktemp("drift") / "j.jsonl")
    if length > 4:  # a shorter one may be told by too few neighbours
        assert len(board.bursts) > UNDISTURBED_BURSTS
    assert all(sum(not burst.void for burst in each.bursts) >= PROTOCOL.rounds for each in found.values())
    assert {key: each.median_ms for key, each in found.items()} == TRUE_MS


def noisy_board(seed: int, unplugged_at: int | None = None) -> Board:
    """Up to 8 % of noise on every burst, the sentinel's too; at times all is slower."""

    def noisy(sha256: str, taken: int) -> float:
        noise = random.Random(f"{seed} {taken}").uniform(0, 0.08)
        return TRUE_MS[sha256] * (1 + noise + 0.2 * ((seed + taken) % 11 == 0))

    return Board(noisy, unplugged_at)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), unplugged_at=st.lists(st.integers(0, 30), max_size=6))
def test_a_sweep_that_is_ended_at_any_burst_goes_on_with_nothing_lost_and_nothing_twice(
    tmp_path_factory: pytest.TempPathFactory, seed: int, unplugged_at: list[int]
) -> None:
    journal = tmp_path_factory.mktemp("killed") / "j.jsonl"
    before = b""
    for number, burst in enumerate(unplugged_at):
        board = noisy_board(seed + number, burst)
        with suppress(DeviceError):
            measured(board, journal)
        assert board.closed == board.opened
        assert journal.read_bytes().startswith(before)
        before = journal.read_bytes()
    found = measured(noisy_board(seed), journal)
    assert journal.read_bytes().startswith(before)
    assert set(slots(journal).values()) == {1}
    assert {(name, i) for name in MODELS for i in range(PROTOCOL.rounds)} <= set(slots(journal))
    for each in found.values():
        counted = sum(not burst.void for burst in each.bursts)
        settled = each.verdict == "steady" and counted >= PROTOCOL.rounds
        assert settled or len(each.bursts) == PROTOCOL.max_rounds
    finished = Board()
    assert measured(finished, journal) == found
    assert finished.opened == 0


class Wobbly(Board):
    """A board whose connection is lost at some of the bursts that are asked for, by their number from 1."""

    def __init__(self, lost_at: Callable[[int], bool]) -> None:
        super().__init__()
        self.lost_at = lost_at
        self.asked = 0

    def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        self.asked += 1
        if self.lost_at(self.asked):
            raise DeviceLostError("the cable came loose")
        return super().burst(artifact, protocol, round)


def test_a_board_that_is_lost_and_comes_back_is_measured_to_the_end(journal: Path) -> None:
    board, slept = Wobbly(lambda asked: asked % 5 == 0), list[float]()
    found = sweep(WORK, TARGET, PROTOCOL, journal, opener=board.open, sleep=slept.append)
    assert {key: each.median_ms for key, each in found.items()} == TRUE_MS
    assert set(slots(journal).values()) == {1}
    assert board.opened == board.closed > 3
    assert set(slept) == {0}


def test_a_board_that_stays_away_is_asked_for_less_and_less_often_then_given_up(journal: Path) -> None:
    board, slept, notes = Wobbly(lambda asked: True), list[float](), list[str]()
    with pytest.raises(DeviceLostError, match=r"came loose; what was measured is kept, run the same command again"):
        sweep(WORK, TARGET, PROTOCOL, journal, opener=board.open, sleep=slept.append, notify=notes.append)
    assert slept == sorted(slept)
    assert board.opened == board.closed == len(slept) + 1
    assert notes[1] == "the cable came loose; trying again in 2 s"


def test_a_model_that_ends_every_timing_process_is_given_up_though_the_sentinel_runs(journal: Path) -> None:
    class Crashing(Board):
        def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
            if artifact.sha256 == "e":
                raise DeviceLostError("ended by signal 11")
            return super().burst(artifact, protocol, round)

    board, slept = Crashing(), list[float]()
    with pytest.raises(DeviceLostError, match="ended by signal 11"):
        sweep(WORK, TARGET, PROTOCOL, journal, opener=board.open, sleep=slept.append)
    assert slept[-1] == max(slept) and len(slept) < 20


def test_a_board_that_was_never_there_is_not_waited_for(journal: Path) -> None:
    def refuse(target: Target, _notify: Notify) -> Board:
        raise DeviceLostError(f"{target} is not connected")

    slept = list[float]()
    with pytest.raises(DeviceLostError, match="is not connected; what was measured is kept"):
        sweep(WORK, TARGET, PROTOCOL, journal, opener=refuse, sleep=slept.append)
    assert slept == []


def test_a_device_rests_between_rounds_where_the_protocol_asks_for_it(journal: Path) -> None:
    slept = list[float]()
    sweep(WORK, TARGET, replace(PROTOCOL, cooldown_s=60), journal, opener=Board().open, sleep=slept.append)
    assert slept == [60] * (PROTOCOL.rounds - 1)


def test_a_disturbed_burst_is_void_and_taken_again(journal: Path) -> None:
    board = Board()
    clean = board.burst

    def disturbed_in_round_1(artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        return replace(clean(artifact, protocol, round), disturbed="throttled" if round == 1 else "")

    board.burst = disturbed_in_round_1  # type: ignore[method-assign]
    found = measured(board, journal)
    assert {burst.round for burst in found["a"].valid} == {0, 2, 3}
    assert [burst.disturbed for burst in found["a"].bursts if burst.void] == ["throttled"]


def test_an_unplugged_board_ends_the_sweep_with_its_error_and_the_session(journal: Path) -> None:
    board = Board(unplugged_at=4)
    with pytest.raises(DeviceError, match="unplugged"):
        measured(board, journal)
    assert (board.opened, board.closed, len(lines_of(journal))) == (1, 1, 4)


def test_a_sweep_on_another_machine_is_refused(journal: Path) -> None:
    measured(Board(unplugged_at=None), journal, {"a": WORK["a"]})
    other = Board(cpu="other")
    with pytest.raises(EnvironmentMismatchError, match="cpu 'other' against 'imaginary'"):
        measured(other, journal)
    assert other.closed == 1


def test_a_sweep_of_nothing_opens_nothing(journal: Path) -> None:
    board = Board()
    assert measured(board, journal, {}) == {}
    assert board.opened == 0


def test_more_work_adds_its_own_bursts_alone(journal: Path) -> None:
    measured(Board(), journal)
    before = slots(journal)
    found = measured(Board(), journal, WORK | {"f": artifact("f", "a")})
    assert found["f"].median_ms == TRUE_MS["a"]
    assert slots(journal) - before == {("f", i): 1 for i in range(PROTOCOL.rounds)}


def test_a_model_compiled_anew_is_measured_anew(journal: Path) -> None:
    measured(Board(), journal)
    found = measured(Board(), journal, {"a": artifact("a", "e")})
    assert found["a"].median_ms == TRUE_MS["e"]
    assert len(found["a"].bursts) == PROTOCOL.rounds


def test_progress_ends_at_what_was_planned(journal: Path) -> None:
    told: list[tuple[int, int]] = []
    sweep(
        WORK,
        TARGET,
        PROTOCOL,
        journal,
        opener=noisy_board(0).open,
        on_progress=lambda *both: told.append(both),
        sleep=lambda seconds: None,
    )
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert told[0][1] == len(WORK) * PROTOCOL.rounds
    assert told[-1][0] == told[-1][1] == sum(slots(journal).values())


REAL = Protocol(name="real", rounds=3, max_rounds=3, warmup_ms=0, runs=3, burst_ms=0, bursts_per_sentinel=2)
PROGRAM = f"""
import sys
from pathlib import Path
from profilers.artifact import Artifact, TensorSpec
from profilers.protocol import Protocol
from profilers.sweep import sweep
from profilers.target import Target

image = TensorSpec(name="image", shape=(1, 1, 1, 1), dtype="float32", layout="NCHW")
work = {{path: Artifact.of(Path(path), format="onnx", inputs=(image,), outputs=()) for path in sys.argv[2:]}}
target = Target(runtime="onnxruntime")
sweep(work, target, {REAL!r}, Path(sys.argv[1]), on_progress=lambda *told: print(*told, flush=True))
"""


def test_a_real_sweep_killed_in_the_middle_goes_on_where_it_stopped(
    compiled: dict[str, Artifact], journal: Path
) -> None:
    paths = [str(compiled[f"onnxruntime {chain}"].path) for chain in ("conv", "mbconv", "classifier", "network")]
    command = [sys.executable, "-c", PROGRAM, str(journal), *paths]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(5)]
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert told[-1] == "5 12\n"
    before = journal.read_bytes()
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert journal.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    assert slots(journal) == {(path, round): 1 for path in paths for round in range(3)}
    assert done.stdout.splitlines()[-1] == f"{len(done.stdout.splitlines())} {len(done.stdout.splitlines())}"
    assert all(time_ms > 0 for line in lines_of(journal) for time_ms in line["times_ms"])
