from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from profilers.agent_session import AgentSession
from profilers.artifact import Artifact
from profilers.devices import open_session
from profilers.errors import DeviceError, DeviceLostError, TargetError
from profilers.protocol import Protocol
from profilers.runtimes import RUNTIMES
from profilers.target import Target

BRIEF = Protocol(name="brief", rounds=1, max_rounds=1, warmup_runs=2, warmup_ms=0, runs=5, burst_ms=0)
ONNX = Target(runtime="onnxruntime")


@pytest.fixture
def session() -> Iterator[AgentSession]:
    session = open_session(ONNX)
    assert isinstance(session, AgentSession)
    with session:
        yield session


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_this_machine_times_a_model(compiled: dict[str, Artifact], runtime: str) -> None:
    session = open_session(Target(runtime=runtime))
    burst = session.burst(compiled[f"{runtime} conv"], BRIEF, 3)
    session.close()
    assert (burst.round, len(burst.times_ms), len(burst.warmup_ms)) == (3, 5, 2)
    assert 0 < burst.median_ms < 1000


def test_the_environment_holds_what_was_asked_and_what_was_found(session: AgentSession) -> None:
    facts = session.environment.facts
    asked = {"threads": "1", "precision": "fp32", "accelerator": "cpu", "batch": "1", "runtime": "onnxruntime"}
    assert asked.items() <= facts.items()
    assert "cpu" in facts
    assert "load" in session.state()


def test_a_killed_agent_is_lost_and_says_how_it_ended(session: AgentSession, compiled: dict[str, Artifact]) -> None:
    os.kill(session._process.pid, signal.SIGKILL)
    with pytest.raises(DeviceLostError, match=r"^local:onnxruntime: .* signal 9 \(Killed\); it was asked to burst "):
        session.burst(compiled["onnxruntime conv"], BRIEF, 0)


def test_an_agent_that_cannot_start_is_told_with_its_last_words() -> None:
    command = [sys.executable, "-c", "raise SystemExit('starting\\nno numpy on this board')"]
    with pytest.raises(DeviceError, match=r"ended with status 1: no numpy on this board$"):
        AgentSession(command, ONNX, shares_files=True)


def test_something_else_than_the_agent_is_told_by_its_words() -> None:
    command = [sys.executable, "-c", "print('Welcome to the board'); input()"]
    with pytest.raises(DeviceError, match="open was answered by 'Welcome to the board', not by the agent"):
        AgentSession(command, ONNX, shares_files=True)


def test_more_threads_than_cores_name_the_target() -> None:
    with pytest.raises(DeviceError, match=r"^local:onnxruntime\?threads=4096: open failed: .*only \d+ cores"):
        open_session(Target(runtime="onnxruntime", threads=4096))


def test_a_model_that_does_not_load_is_told_in_the_runtime_s_words(
    session: AgentSession, compiled: dict[str, Artifact], tmp_path: Path
) -> None:
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(compiled["onnxruntime conv"].path.read_bytes()[:100])
    with pytest.raises(DeviceError, match=r"burst .*torn\.onnx failed: .*INVALID_PROTOBUF") as failed:
        session.burst(replace(compiled["onnxruntime conv"], path=torn), BRIEF, 0)
    assert "\n" not in str(failed.value)


def test_a_model_of_another_batch_is_never_timed(compiled: dict[str, Artifact]) -> None:
    session = open_session(Target(runtime="onnxruntime", batch=4))
    with pytest.raises(TargetError, match=r"onnx is compiled for batches of 1, not of 4"):
        session.burst(compiled["onnxruntime conv"], BRIEF, 0)
    session.close()


def test_a_closed_session_leaves_no_process() -> None:
    session = open_session(ONNX)
    assert isinstance(session, AgentSession)
    session.close()
    assert session._process.returncode == 0


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("usb:3", "device 'usb' is not available; there are: local"),
        ("local:3", "has an address, but local is this"),
    ],
)
def test_a_device_that_nothing_serves_is_refused(device: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        open_session(Target(device=device, runtime="litert"))


def test_a_device_that_others_measured_has_a_name_and_is_not_measured_here() -> None:
    target = Target.parse("elsewhere:pixel1:litert")
    assert target.slug == "elsewhere-pixel1-litert"
    with pytest.raises(TargetError, match=r"pixel1 is elsewhere: .* nothing here can measure it"):
        open_session(target)
    with pytest.raises(TargetError, match="write elsewhere:pixel1"):
        open_session(Target(device="elsewhere", runtime="litert"))
