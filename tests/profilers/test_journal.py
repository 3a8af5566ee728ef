from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.environment import Environment
from profilers.errors import EnvironmentMismatchError, FileError, MillisError
from profilers.journal import SCHEMA, Journal
from profilers.measurement import Burst, Measurement
from profilers.protocol import PROTOCOLS, Protocol
from profilers.target import Target

TARGET = Target(runtime="litert")
PROTOCOL = PROTOCOLS["quick"]
HERE = Environment({"cpu": "imaginary 3000", "governor": "performance"})
TIMES_MS = st.floats(1e-6, 1e6)
BURSTS = st.builds(
    Burst,
    round=st.integers(0, 9),
    times_ms=st.lists(TIMES_MS, min_size=1, max_size=4).map(tuple),
    warmup_ms=st.lists(TIMES_MS, max_size=2).map(tuple),
)
TAKEN = st.lists(st.tuples(st.none() | st.sampled_from(["a", "b"]), st.sampled_from(["0", "1"]), BURSTS), max_size=12)


def opened(path: Path, *, target: Target = TARGET, protocol: Protocol = PROTOCOL) -> Journal:
    return Journal(path, target, protocol)


def one_burst(*times_ms: float, round: int = 0) -> Burst:
    return Burst(round=round, times_ms=times_ms)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of one session: sentinel, a, b, sentinel."""
    path = tmp_path / "t.measurements.jsonl"
    with opened(path) as journal:
        journal.begin(HERE, {"load": "0.1"})
        for key in (None, "a", "b", None):
            journal.append(key, f"sha of {key}", one_burst(1.0, 2.0))
    return path


@given(TAKEN)
def test_every_raw_time_is_read_back_in_the_order_taken(
    tmp_path_factory: pytest.TempPathFactory, taken: list[tuple[str | None, str, Burst]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j.jsonl"
    with opened(path) as journal:
        journal.begin(HERE, {})
        for key, sha256, burst in taken:
            journal.append(key, sha256, burst)
        written = journal.entries
    with opened(path) as journal:
        assert journal.entries == written
        assert [(entry.key, entry.sha256, entry.burst) for entry in journal.entries] == taken
        assert journal.environment == HERE


def test_what_was_written_is_what_is_measured(path: Path) -> None:
    with opened(path) as journal:
        measured = journal.measurements()
    assert set(measured) == {("a", "sha of a"), ("b", "sha of b")}
    assert measured["a", "sha of a"].bursts == (one_burst(1.0, 2.0),)
    assert measured["a", "sha of a"].environment == HERE
    assert measured["a", "sha of a"].steady_spread == PROTOCOL.steady_spread


def test_a_burst_is_on_disk_when_append_returns(path: Path) -> None:
    with opened(path) as journal:
        before = path.read_bytes()
        journal.append("a", "sha of a", one_burst(3.0, round=1))
        assert json.loads(path.read_bytes().removeprefix(before))["times_ms"] == [3.0]


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_a_line_torn_by_a_kill_is_dropped_and_written_over(path: Path, cut: int) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with opened(path) as journal:
        assert len(journal.entries) == 3
        journal.append(None, "sha of None", one_burst(1.0, 2.0))
    assert path.read_bytes() == whole


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda line: "{" + json.dumps(line), "JSONDecodeError"),
        (lambda line: "", "JSONDecodeError"),
        (lambda line: "[]", "TypeError"),
        (lambda line: json.dumps({"key": "a"}), "KeyError: 'round'"),
        (lambda line: json.dumps(line | {"times_ms": []}), "a burst without times"),
        (lambda line: json.dumps(line | {"times_ms": [1.0, 0.0]}), "a time that is not positive"),
        (lambda line: json.dumps(line | {"times_ms": [float("nan")]}), "a time that is not positive"),
        (lambda line: json.dumps(line | {"times_ms": ["fast"]}), "ValueError"),
        (lambda line: json.dumps(line | {"warmup_ms": 3}), "TypeError"),
    ],
)
def test_garbage_in_the_middle_is_an_error_with_its_line_and_the_file_is_left_alone(
    path: Path, spoil: Callable[[dict[str, Any]], str], message: str
) -> None:
    lines = path.read_text().splitlines()
    lines[2] = spoil(json.loads(lines[2]))
    path.write_text("\n".join(lines))  # torn, too
    before = path.read_bytes()
    with pytest.raises(FileError, match=rf"t\.measurements\.jsonl:3: not a line of a measurement journal: .*{message}"):
        opened(path)
    assert path.read_bytes() == before


def test_a_burst_before_any_environment_is_an_error(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(FileError, match=r":1: .*a burst before any environment"):
        opened(path)


def test_a_journal_of_another_version_is_refused(path: Path) -> None:
    path.write_text(path.read_text().replace(f'"schema": {SCHEMA}', '"schema": 99', 1))
    with pytest.raises(FileError, match=rf":1: .*schema 99, but this millis reads version {SCHEMA}"):
        opened(path)


def test_a_second_process_is_refused_while_the_first_measures(path: Path) -> None:
    program = f"""
from pathlib import Path
from profilers.journal import Journal
from profilers.protocol import PROTOCOLS
from profilers.target import Target
Journal(Path({str(path)!r}), Target(runtime="litert"), PROTOCOLS["quick"])
"""
    with opened(path):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "FileError" in done.stderr
    assert f"{path}: another millis is measuring into this file" in done.stderr


def test_a_closed_journal_and_a_refused_one_let_the_next_in(path: Path) -> None:
    with pytest.raises(EnvironmentMismatchError):
        opened(path, target=Target(runtime="onnxruntime"))
    with opened(path):
        pass
    with opened(path) as journal:
        assert len(journal.entries) == 4


@pytest.mark.parametrize(
    ("target", "protocol", "message"),
    [
        (Target(runtime="litert", threads=2), PROTOCOL, r"target 'local:litert\?threads=2' against 'local:litert'$"),
        (TARGET, Protocol(name="quick"), "protocol burst_ms 20.0 against 8.0; protocol max_rounds 10 against 9; "),
        (TARGET, PROTOCOLS["standard"], "protocol name 'standard' against 'quick'"),
    ],
)
def test_a_journal_of_another_target_or_protocol_is_refused_with_what_differs(
    path: Path, target: Target, protocol: Protocol, message: str
) -> None:
    with pytest.raises(MillisError, match=rf"choose another -o, or delete it\): .*{message}") as refused:
        opened(path, target=target, protocol=protocol)
    assert isinstance(refused.value, EnvironmentMismatchError)


def test_another_environment_is_refused_with_what_differs_and_nothing_is_written(path: Path) -> None:
    before = path.read_bytes()
    moved = Environment({"cpu": "imaginary 3000", "governor": "powersave"})
    with opened(path) as journal, pytest.raises(EnvironmentMismatchError, match="'powersave' against 'performance'"):
        journal.begin(moved, {})
    assert path.read_bytes() == before


MODELS_MS = {"a": 0.5, "b": 1.0, "c": 2.0, "d": 4.0, "e": 8.0, "f": 16.0, "g": 32.0, "h": 64.0}
ROUND_MS = [(None, 1.0), *MODELS_MS.items()]


def swept(path: Path, *factors: float) -> tuple[dict[str, Measurement], list[Burst]]:
    """A round of all models for each factor by which the device was slower then: measurements and raw bursts."""
    with opened(path) as journal:
        journal.begin(HERE, {})
        for round, factor in enumerate(factors):
            for key, ms in ROUND_MS:
                journal.append(key, str(key), one_burst(factor * ms, 1.25 * factor * ms, round=round))
        return {key: each for (key, _), each in journal.measurements().items()}, [
            each.burst for each in journal.entries
        ]


def test_drift_within_the_limit_is_divided_out(tmp_path: Path) -> None:
    measured, _ = swept(tmp_path / "j.jsonl", 1.0, 1.04, 1.0, 1.04, 1.0, 1.0, 1.04, 1.0)
    for key, ms in MODELS_MS.items():
        assert not any(burst.void for burst in measured[key].bursts)
        assert measured[key].median_ms == pytest.approx(1.125 * ms, rel=0.003)
        assert measured[key].p90_ms == pytest.approx(1.25 * ms, rel=0.025)
    assert [round(burst.level, 9) for burst in measured["d"].bursts] == [1, 1.04, 1, 1.04, 1, 1, 1.04, 1]
    assert measured["d"].spread == pytest.approx(0)


def test_bursts_while_the_device_strayed_beyond_the_limit_are_void(tmp_path: Path) -> None:
    measured, _ = swept(tmp_path / "j.jsonl", 1.0, 1.0, 1.0, 1.3, 1.0, 1.0, 1.2, 1.0)
    for key, ms in MODELS_MS.items():
        assert {3, 6} <= {burst.round for burst in measured[key].bursts if burst.void}
        assert measured[key].median_ms == pytest.approx(1.125 * ms)
    void = [burst.round for burst in measured["d"].bursts if burst.void]
    assert void == [3, 6]


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_how_far_the_device_may_stray_is_the_protocols_word(tmp_path: Path, share: float) -> None:
    strayed = 1 + share * PROTOCOL.drift
    measured, _ = swept(tmp_path / "j.jsonl", 1.0, 1.0, strayed, 1.0, 1.0)
    assert measured["d"].bursts[2].void is (share > 1)


def test_a_disturbed_burst_is_void_at_any_speed(path: Path) -> None:
    with opened(path) as journal:
        journal.append("a", "sha of a", Burst(round=1, times_ms=(1.5,), disturbed="frequency 1.8 to 1.2 GHz"))
        assert [burst.void for burst in journal.measurements()["a", "sha of a"].bursts] == [False, True]


def test_bursts_in_which_only_one_model_was_slower_are_void_where_enough_others_agree(tmp_path: Path) -> None:
    with opened(tmp_path / "j.jsonl") as journal:
        journal.begin(HERE, {})
        for round in range(8):
            for key, ms in ROUND_MS:
                journal.append(key, str(key), one_burst(ms * (1.6 if key == "d" and round % 2 else 1)))
        measured = {key: each for (key, _), each in journal.measurements().items()}
    assert [burst.void for burst in measured["d"].bursts] == [False, True] * 4
    assert measured["d"].median_ms == dict(ROUND_MS)["d"]


def test_a_model_that_scatters_by_itself_is_not_excused_by_the_device(tmp_path: Path) -> None:
    with opened(tmp_path / "j.jsonl") as journal:
        journal.begin(HERE, {})
        for round in range(8):
            for key, ms in ROUND_MS:
                journal.append(key, str(key), one_burst(ms * (1 + 0.1 * round) if key == "d" else ms))
        measured = {key: each for (key, _), each in journal.measurements().items()}
    assert [key for key, each in measured.items() if each.verdict == "noisy"] == ["d"]
    assert not any(burst.void for key, each in measured.items() if key != "d" for burst in each.bursts)


def test_levels_are_told_anew_by_every_reader_and_the_file_keeps_what_was_timed(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    measured, raw = swept(path, 1.0, 1.04, 1.3, 1.0)
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    assert [tuple(line["times_ms"]) for line in lines] == [burst.times_ms for burst in raw]
    assert all(burst.level == 1 and not burst.void for burst in raw)
    assert measured["d"].bursts[1].times_ms == (1.04 * 4.0, 1.25 * 1.04 * 4.0)
    assert not any("level" in line for line in lines)
    with opened(path) as journal:
        assert {key: each for (key, _), each in journal.measurements().items()} == measured


def test_a_sentinel_speaks_for_its_own_session_only(tmp_path: Path) -> None:
    with opened(tmp_path / "j.jsonl") as journal:
        for sentinel_ms in (1.0, 1.0, 1.2):  # the last session is a slow one
            journal.begin(HERE, {})
            journal.append(None, "S", one_burst(sentinel_ms))
            journal.append(f"after {sentinel_ms}", "0", one_burst(5.0))  # killed before the next sentinel
        void = {key: measured.bursts[-1].void for (key, _), measured in journal.measurements().items()}
    assert void == {"after 1.0": False, "after 1.2": True}


def test_a_sentinel_is_compared_with_itself_and_no_other_model(tmp_path: Path) -> None:
    with opened(tmp_path / "j.jsonl") as journal:
        for network, sentinel_ms in (("first", 1.0), ("second", 3.0)):
            journal.begin(HERE, {})
            for key in (None, network, None):
                journal.append(key, network, one_burst(sentinel_ms))
        assert not any(measured.bursts[0].void for measured in journal.measurements().values())
