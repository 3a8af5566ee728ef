from __future__ import annotations

import fcntl
import json
import os
import select
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

import pytest

from pipeline.profiling import Workload, profile
from profilers.artifact import Artifact
from profilers.devices import load_device_kind, open_session
from profilers.errors import DeviceError, DeviceLostError
from profilers.model_files import read_model
from profilers.op_spec import OpSpec
from profilers.protocol import Protocol
from profilers.sweep import sweep
from profilers.target import Target
from tests.profilers.foreign_models import write_text_model
from tests.stand_ins.arm_board import ArmBoard
from tests.stand_ins.sshd import Sshd

BRIEF = Protocol(name="brief", rounds=1, max_rounds=1, warmup_runs=1, warmup_ms=0, runs=3, burst_ms=0)
ENDLESS = replace(BRIEF, name="endless", runs=10**9, max_runs=10**9)
ONNX = Target.parse("ssh:board:onnxruntime")

Require = Callable[[str], Path]
Login = Callable[..., Sshd]


@pytest.fixture
def login(require: Require, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Login]:
    """Puts up a host `board` that ssh reaches: with this machine's own Python, or with other commands."""
    require("sshd")
    started: list[Sshd] = []

    def start(commands: Path = Path(sys.executable).parent, **look: str) -> Sshd:
        sshd = Sshd(folder=tmp_path / f"board{len(started)}", commands=commands, **look)
        sshd.start()
        started.append(sshd)
        monkeypatch.setenv("MILLIS_SSH", sshd.client)
        return sshd

    yield start
    for sshd in started:
        sshd.stop()


@pytest.fixture
def arm_board(require: Require) -> ArmBoard:
    return ArmBoard(require("arm-board"))


def ended(pid: int) -> bool:
    """Whether a process, no child of ours, ends within a minute."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    with os.fdopen(handle):
        return bool(select.select([handle], [], [], 60)[0])


def is_timing(sshd: Sshd) -> bool:
    """Whether an agent on the board is in the middle of a burst."""
    lock = sshd.home / ".cache/millis/timing.lock"
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_an_arm_board_times_a_model(
    login: Login, arm_board: ArmBoard, compiled: dict[str, Artifact], runtime: str
) -> None:
    login(arm_board.commands)
    session = open_session(Target.parse(f"ssh:board:{runtime}"))
    burst = session.burst(compiled[f"{runtime} network"], BRIEF, 2)
    session.close()
    facts = session.environment.facts
    assert (facts["machine"], facts["cpu"]) == ("aarch64", "Emulated Board Model A, 2 cores of part 0xd0b")
    assert (burst.round, len(burst.times_ms), len(burst.warmup_ms)) == (2, 3, 1)


def test_a_model_goes_over_once_and_stays_there_by_its_content(login: Login, compiled: dict[str, Artifact]) -> None:
    sshd, artifact = login(), compiled["onnxruntime conv"]
    kept = sshd.home / ".cache/millis/models" / f"{artifact.sha256}.onnx"
    written = []
    for _ in range(2):
        session = open_session(ONNX)
        session.burst(artifact, BRIEF, 0)
        session.close()
        written.append(kept.stat().st_mtime_ns)
    assert written[0] == written[1] and kept.read_bytes() == artifact.path.read_bytes()


def test_a_model_that_was_torn_on_the_board_goes_over_again(login: Login, compiled: dict[str, Artifact]) -> None:
    sshd, artifact = login(), compiled["onnxruntime conv"]
    kept = sshd.home / ".cache/millis/models" / f"{artifact.sha256}.onnx"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(artifact.path.read_bytes()[:100])
    session = open_session(ONNX)
    assert session.burst(artifact, BRIEF, 0).times_ms
    session.close()
    assert kept.read_bytes() == artifact.path.read_bytes()


def test_a_foreign_model_goes_over_with_the_sizes_asked(login: Login, tmp_path: Path) -> None:
    login()
    session = open_session(ONNX)
    artifact = read_model(write_text_model(tmp_path / "text.onnx"), {"ids": (2, 9)})
    assert session.burst(artifact, BRIEF, 0).times_ms
    session.close()


@pytest.mark.parametrize("banner", ["Welcome!\n", "no newline", "\x1b[1mlast login\x1b[0m\nmillis-boards are fine\n"])
def test_a_login_shell_may_say_what_it_likes(login: Login, banner: str) -> None:
    login(banner=banner)
    session = open_session(ONNX)
    assert "load" in session.state()
    session.close()


def test_a_connection_that_is_cut_is_a_lost_device(login: Login, compiled: dict[str, Artifact]) -> None:
    sshd = login()
    session = open_session(ONNX)
    sshd.drop()
    with pytest.raises(DeviceLostError, match=r"^ssh:board:onnxruntime: the timing process ended with status 255: "):
        session.burst(compiled["onnxruntime conv"], BRIEF, 0)
    session.close()


def test_an_agent_whose_connection_is_cut_ends_in_the_middle_of_a_burst(
    login: Login, compiled: dict[str, Artifact]
) -> None:
    sshd = login()
    session = open_session(ONNX)
    (agent,) = sshd.agents()
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(session.burst, compiled["onnxruntime conv"], ENDLESS, 0)
        while not is_timing(sshd):
            assert not lost.done()
        sshd.drop()
        assert ended(agent)
        assert isinstance(lost.exception(), DeviceLostError)
    session.close()


@pytest.mark.parametrize("strike", [Sshd.kill_agents, Sshd.drop, Sshd.stop])
def test_a_sweep_goes_on_after_a_loss_and_times_nothing_twice(
    login: Login, compiled: dict[str, Artifact], tmp_path: Path, strike: Callable[[Sshd], object]
) -> None:
    sshd, journal = login(), tmp_path / "journal"
    work = {chain: compiled[f"onnxruntime {chain}"] for chain in ("conv", "mbconv", "classifier")}

    def strike_twice(done: int, planned: int) -> None:
        if planned - done in {1, 4}:
            strike(sshd)

    measured = sweep(
        work,
        ONNX,
        replace(BRIEF, rounds=2, max_rounds=2),
        journal,
        on_progress=strike_twice,
        sleep=lambda seconds: sshd.start(),
    )
    assert measured.keys() == work.keys()
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    taken = Counter((line["key"], line["round"]) for line in lines if line.get("key"))
    assert taken == Counter(product(work, range(2)))
    assert sum("environment" in line for line in lines) >= 2


@dataclass
class Conversions:
    """How many there were for each table."""

    planned: list[int] = field(default_factory=list)

    def progress(self, part: str, done: int, planned: int) -> None:
        if part == "compile" and done == 0:
            self.planned.append(planned)

    def note(self, text: str) -> None: ...


def test_a_second_board_of_the_same_target_converts_nothing(login: Login, arm_board: ArmBoard, tmp_path: Path) -> None:
    ops = (OpSpec.parse("classifier in=4x4x8 out=10"),)
    machines, conversions = [], Conversions()
    for name, commands in (("first", Path(sys.executable).parent), ("second", arm_board.commands)):
        login(commands)
        paths = {ONNX: tmp_path / f"{name}.yaml"}
        tables = profile(Workload(ops=ops), paths, BRIEF, watch=conversions, cache=tmp_path)
        machines.append(tables[ONNX].environment.facts["machine"])
    assert machines[0] != "aarch64" and machines[1] == "aarch64"
    assert conversions.planned == [1, 0]


def test_what_a_board_lacks_is_told_with_the_command_that_mends_it(
    login: Login, arm_board: ArmBoard, tmp_path: Path
) -> None:
    arm_board.add_python(tmp_path / "commands", without={"ai_edge_litert"})
    login(tmp_path / "commands")
    with pytest.raises(DeviceError) as failed:
        open_session(Target.parse("ssh:board:litert"))
    assert str(failed.value).startswith("ssh board: ") and "has no ai-edge-litert" in str(failed.value)
    mended = "install it: ssh board 'python3 -m venv ~/.millis && ~/.millis/bin/pip install ai-edge-litert'"
    assert str(failed.value).endswith(mended)


def test_the_environment_that_the_user_made_for_us_comes_first(login: Login) -> None:
    sshd = login(Path("/nowhere"))
    (sshd.home / ".millis").symlink_to(sys.prefix)
    open_session(ONNX).close()


def test_a_board_without_python_says_so(login: Login, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").symlink_to("/bin/sh")
    login(tmp_path / "bin", system_path=str(tmp_path / "bin"))
    with pytest.raises(DeviceError, match="ssh board: there is no python3 in its PATH; a shell is needed there, and"):
        open_session(ONNX)


def test_a_board_that_does_not_answer_is_lost_in_one_line(login: Login) -> None:
    login().stop()
    with pytest.raises(DeviceLostError) as lost:
        open_session(ONNX)
    assert str(lost.value).endswith("Connection refused; is it on, and does it serve ssh?")
    assert str(lost.value).startswith("ssh board: ") and "\n" not in str(lost.value)


def another_host_key(sshd: Sshd) -> None:
    key = (sshd.folder / "user_key.pub").read_text()
    (sshd.folder / "known_hosts").write_text(f"[127.0.0.1]:{sshd.port} {key}")


def no_host_key(sshd: Sshd) -> None:
    (sshd.folder / "known_hosts").write_text("")


def no_user_key(sshd: Sshd) -> None:
    (sshd.folder / "user_key.pub").write_text("")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (another_host_key, "its key is another than before; if that is right, run: ssh-keygen -f "),
        (no_host_key, "its key is not known yet; see it and accept it with: ssh board"),
        (no_user_key, r"Permission denied \(publickey\); let your key in with: ssh-copy-id board"),
    ],
)
def test_a_refusal_is_told_in_the_words_of_ssh_with_what_to_do(
    login: Login, change: Callable[[Sshd], None], told: str
) -> None:
    change(login())
    with pytest.raises(DeviceError, match=f"^ssh board: .*{told}") as refused:
        open_session(ONNX)
    assert not isinstance(refused.value, DeviceLostError)  # asking again would not help


def test_the_hosts_that_ssh_knows_are_devices_with_their_runtimes_or_their_problem(login: Login) -> None:
    sshd = login()
    with (sshd.folder / "ssh_config").open("a") as config:
        config.write("\nHost gone\n    HostName 127.0.0.1\n    Port 1\n\nHost *.example !x\n")
    board, gone = load_device_kind("ssh").reachable()
    assert (board.name, board.problem) == ("ssh:board", "") and {"litert", "onnxruntime"} <= set(board.runtimes)
    assert (gone.name, gone.runtimes) == ("ssh:gone", ()) and "Connection refused" in gone.problem


def test_ssh_itself_is_looked_at() -> None:
    (check,) = load_device_kind("ssh").checks()
    assert check.ok and check.found.startswith("OpenSSH")
