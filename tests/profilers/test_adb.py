from __future__ import annotations

import json
import os
import re
import shlex
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.android.adb_link import AdbLink, find_adb, read_list
from profilers.android.phone import Snapshot, affinity_mask, choose_cores
from profilers.android.session import AndroidSession
from profilers.artifact import Artifact, TensorSpec
from profilers.devices import adb, open_session
from profilers.devices.adb import AdbDevice
from profilers.errors import DeviceError, DeviceLostError, MillisError, TargetError
from profilers.journal import Journal
from profilers.protocol import Protocol
from profilers.sweep import sweep
from profilers.target import Target
from tests.stand_ins.adb_device import AdbDevice as Plug
from tests.stand_ins.phone import BOARD_TOOL, Phone

FIXTURES = Path(__file__).parent / "fixtures" / "benchmark_model"
BRIEF = Protocol(name="brief", rounds=2, max_rounds=2, warmup_ms=0, runs=3, burst_ms=0, bursts_per_sentinel=2)
Plugs = Callable[..., Plug]


def recorded_tool(output: str = "tflite", flags: str = "help_tflite", during: str = "", status: int = 0) -> str:
    """A benchmark_model that says what one once said; `during` is shell that happens meanwhile."""
    help_text, said = (shlex.quote(str(FIXTURES / f"{name}.txt")) for name in (flags, output))
    return f'#!/bin/sh\ncase "$*" in *--help*) cat {help_text}; exit 1;; esac\n{during}\ncat {said}\nexit {status}\n'


@pytest.fixture(scope="session")
def adb_server(require: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The client, with a server for these tests alone, which has keys of its own."""
    program = str(require("adb"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", port)
        home = str(tmp_path_factory.mktemp("adb"))
        subprocess.run([program, "start-server"], env=os.environ | {"HOME": home}, check=True, capture_output=True)
        yield program
        subprocess.run([program, "kill-server"], check=True, capture_output=True)


@pytest.fixture
def plugs(adb_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugs]:
    """Phones with a recorded tool, as many as are asked for."""
    monkeypatch.delenv("MILLIS_BENCHMARK_MODEL", raising=False)
    plugged: list[Plug] = []

    def plug(path: tuple[Path, ...] = (), **options: object) -> Plug:
        phone = Phone(tmp_path / f"phone-{len(plugged)}", path)
        phone.put_tool(recorded_tool())
        plugged.append(Plug(phone, **options))  # type: ignore[arg-type]
        return plugged[-1]

    yield plug
    for each in plugged:
        each.unplug()
        subprocess.run([adb_server, "disconnect", each.serial], check=False, capture_output=True)


@pytest.fixture
def plug(plugs: Plugs) -> Plug:
    return plugs()


@pytest.fixture
def work(tmp_path: Path) -> dict[str, Artifact]:
    """Files that a recorded tool does not read."""
    found = {}
    for name in "abc":
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(name.encode() * 1000)
        image = TensorSpec(name="image", shape=(1, 8, 8, 3), dtype="float32", layout="NHWC")
        found[name] = Artifact.of(path, format="tflite", inputs=(image,), outputs=())
    return found


def target_of(plug: Plug, **options: object) -> Target:
    return Target(device=f"adb:{plug.serial}", runtime="litert", **options)  # type: ignore[arg-type]


def opened(plug: Plug, **options: object) -> AndroidSession:
    return AdbDevice(plug.serial, lambda seconds: None).open(target_of(plug, **options), lambda text: None)


def slots(journal: Path) -> Counter[tuple[str, int]]:
    lines = [line for line in map(json.loads, journal.read_text().splitlines()) if "environment" not in line]
    return Counter((line["key"], line["round"]) for line in lines if line["key"] is not None)


ONCE = {(name, number): 1 for name in "abc" for number in range(2)}


@pytest.mark.parametrize("shell_v2", [True, False])
def test_a_sweep_goes_through_the_real_client(
    plugs: Plugs, work: dict[str, Artifact], tmp_path: Path, shell_v2: bool
) -> None:
    plug = plugs(shell_v2=shell_v2)
    found = sweep(work, target_of(plug), BRIEF, tmp_path / "j.jsonl")
    assert {name: (each.median_ms, each.samples) for name, each in found.items()} == dict.fromkeys(work, (79.5, 100))
    assert set(plug.phone.graphs) == {each.sha256 for each in work.values()}
    assert (set(plug.phone.masks), plug.phone.fixed_performance) == ({"80"}, "false")


def test_models_are_brought_once_and_have_the_hash_of_their_content_as_a_name(
    plug: Plug, work: dict[str, Artifact], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        sweep(work, target_of(plug), BRIEF, tmp_path / f"{name}.jsonl")
    brought = {file.name: file.read_bytes() for file in plug.phone.local("/data/local/tmp/millis").iterdir()}
    assert brought == {f"{each.sha256}.tflite": each.path.read_bytes() for each in work.values()}
    assert sum(command.startswith("{ mv ") for command in plug.phone.ran) == len(work)


def test_half_a_model_on_the_phone_never_counts(plug: Plug, work: dict[str, Artifact]) -> None:
    place = plug.phone.local(f"/data/local/tmp/millis/{work['a'].sha256}.tflite")
    place.parent.mkdir()
    place.write_bytes(work["a"].path.read_bytes()[:500])
    session = opened(plug)
    session.burst(work["a"], BRIEF, 0)
    assert place.read_bytes() == work["a"].path.read_bytes()
    session.close()


def test_a_link_that_breaks_amid_a_model_leaves_no_half_of_it(
    plug: Plug, work: dict[str, Artifact], tmp_path: Path
) -> None:
    broken = iter([True, False, True])

    def now_and_then() -> None:
        if next(broken, False):
            plug.unplug()

    plug.phone.amid_file = now_and_then
    sweep(work, target_of(plug), BRIEF, tmp_path / "j.jsonl", sleep=lambda seconds: plug.plug())
    brought = {file.name: file.read_bytes() for file in plug.phone.local("/data/local/tmp/millis").iterdir()}
    assert brought == {f"{each.sha256}.tflite": each.path.read_bytes() for each in work.values()}


def test_a_phone_that_is_unplugged_again_and_again_goes_on_with_nothing_twice(
    plug: Plug, work: dict[str, Artifact], tmp_path: Path
) -> None:
    commands, notices = iter(range(1000)), list[str]()

    def now_and_then() -> None:
        if next(commands) in {17, 33, 52, 75, 91}:
            plug.unplug()

    plug.phone.before_command = now_and_then
    target, journal = target_of(plug), tmp_path / "j.jsonl"
    found = sweep(work, target, BRIEF, journal, notify=notices.append, sleep=lambda seconds: plug.plug())
    assert slots(journal) == ONCE
    assert {each.median_ms for each in found.values()} == {79.5}
    assert len(notices) == 5
    assert all("the link was lost" in notice for notice in notices)


def test_a_phone_that_stays_away_is_told_how_to_go_on(plug: Plug, work: dict[str, Artifact], tmp_path: Path) -> None:
    def leave() -> None:
        if len(plug.phone.graphs) == 3:
            plug.unplug()

    plug.phone.before_command = leave
    target, journal = target_of(plug), tmp_path / "j.jsonl"
    with pytest.raises(DeviceLostError, match=r"is not connected.*; what was measured is kept, run the same command"):
        sweep(work, target, BRIEF, journal, sleep=lambda seconds: None)
    plug.phone.before_command = lambda: None
    plug.plug()
    sweep(work, target, BRIEF, journal)
    assert slots(journal) == ONCE


def test_the_emulated_board_s_litert_is_timed_over_adb(
    plugs: Plugs, require: Callable[[str], Path], compiled: dict[str, Artifact], tmp_path: Path
) -> None:
    plug = plugs((require("arm-board") / "commands",))
    plug.phone.put_tool(BOARD_TOOL.read_text())
    protocol = Protocol(name="once", rounds=1, max_rounds=1, runs=3, burst_ms=0)
    found = sweep({"conv": compiled["litert conv"]}, target_of(plug), protocol, tmp_path / "j.jsonl")
    assert found["conv"].median_ms > 0
    assert found["conv"].samples == 3


def test_two_phones_are_measured_at_once(plugs: Plugs, work: dict[str, Artifact], tmp_path: Path) -> None:
    """Each waits for the other in the middle of its first burst."""
    both, journals = [plugs(), plugs()], dict[Plug, Path]()
    for plug, other in (both, both[::-1]):
        plug.phone.put_tool(recorded_tool(during=f"touch {plug.phone.root}/met; {wait_for(other.phone.root / 'met')}"))
        journals[plug] = tmp_path / f"{plug.port}.jsonl"
    threads = [threading.Thread(target=sweep, args=(work, target_of(plug), BRIEF, journals[plug])) for plug in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [slots(journal) for journal in journals.values()] == [ONCE, ONCE]


def wait_for(place: Path) -> str:
    """Shell that fails where a file does not come within a minute."""
    return f"for _ in $(seq 6000); do [ -e {place} ] && break; sleep 0.01; done; [ -e {place} ] || exit 1"


@pytest.mark.parametrize(
    ("options", "mask"),
    [
        ({}, "80"),
        ({"threads": 3}, "e0"),
        ({"cores": "little"}, "1"),
        ({"cores": "little", "threads": 2}, "3"),
        ({"cores": "any"}, None),
    ],
)
def test_the_fastest_cores_are_chosen_by_the_phone_s_own_frequencies(
    plug: Plug, work: dict[str, Artifact], options: dict[str, object], mask: str | None
) -> None:
    session = opened(plug, **options)
    session.burst(work["a"], BRIEF, 0)
    session.close()
    assert set(plug.phone.masks) == ({mask} if mask else set())
    assert session.environment.facts["affinity"] == {"80": "7", "e0": "5,6,7", "1": "0", "3": "0,1"}.get(
        str(mask), "not pinned"
    )


def test_the_environment_tells_the_phone_the_tool_and_how_it_was_held(plug: Plug) -> None:
    session = opened(plug)
    facts = session.environment.facts
    assert {
        "manufacturer": "Stand-in",
        "soc_manufacturer": "Stand-in Chips",
        "soc": "SPECIMEN-1",
        "android": "14",
        "abi": "arm64-v8a",
    }.items() <= facts.items()
    assert (facts["fixed_performance"], facts["thermal_gate"]) == ("on", "thermal status 0")
    assert (facts["flags"], facts["cores"]) == ("--use_xnnpack=true --num_threads=1", "8")
    assert {
        "battery level": "87",
        "battery temperature": "251",
        "thermal status": "0",
    }.items() <= session.state().items()
    assert plug.phone.fixed_performance == "true"
    session.close()
    assert plug.phone.fixed_performance == "false"


def test_a_phone_without_fixed_performance_mode_or_thermal_status_is_measured_and_says_so(
    plug: Plug, work: dict[str, Artifact]
) -> None:
    (plug.phone.root / "fixed").unlink()
    (plug.phone.root / "commands/dumpsys").unlink()
    session = opened(plug)
    facts = session.environment.facts
    assert (facts["fixed_performance"], facts["thermal_gate"]) == ("not available", "not available")
    assert session.burst(work["a"], BRIEF, 0).disturbed == ""
    session.close()


def test_a_hot_phone_is_waited_for_before_a_burst(plug: Plug, work: dict[str, Artifact]) -> None:
    plug.phone.set_thermal_status(3)
    waits, notices = list[float](), list[str]()

    def cool(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            plug.phone.set_thermal_status(0)

    session = AdbDevice(plug.serial, cool).open(target_of(plug), notices.append)
    assert session.burst(work["a"], BRIEF, 0).median_ms == 79.5
    assert (len(waits), len(notices), len(plug.phone.masks)) == (3, 1, 2)
    assert "is hot; waiting until it has cooled" in notices[0]
    session.close()


def test_a_phone_that_stays_hot_is_given_up_after_some_minutes(plug: Plug, work: dict[str, Artifact]) -> None:
    plug.phone.set_thermal_status(2)
    session = opened(plug)
    with pytest.raises(DeviceError, match="still hot after 10 minutes; what was measured is kept"):
        session.burst(work["a"], BRIEF, 0)
    session.close()


CPU7 = '"$PHONE/sys/devices/system/cpu/cpu7/cpufreq/'


@pytest.mark.parametrize(
    ("during", "disturbed"),
    [
        ("echo 2 > $PHONE/thermal", "thermal status 0 to 2"),
        (f'echo 1500000 > {CPU7}scaling_max_freq"', "core 7 scaling_max_freq 3000000 to 1500000"),
        (f'echo powersave > {CPU7}scaling_governor"', "core 7 scaling_governor schedutil to powersave"),
        (f'echo 900000 > {CPU7}scaling_cur_freq"', ""),
        ("echo 900000 > $PHONE/sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq", ""),
    ],
)
def test_a_burst_is_void_when_heat_or_the_clock_changed(
    plug: Plug, work: dict[str, Artifact], during: str, disturbed: str
) -> None:
    plug.phone.put_tool(recorded_tool(during=during))
    session = opened(plug)
    assert session.burst(work["a"], BRIEF, 0).disturbed == disturbed
    session.close()


def test_a_disturbed_burst_is_measured_again(plug: Plug, work: dict[str, Artifact], tmp_path: Path) -> None:
    once = f'[ -f $PHONE/done ] || echo 1500000 > {CPU7}scaling_max_freq"; touch $PHONE/done'
    plug.phone.put_tool(recorded_tool(during=once))
    protocol = Protocol(name="more", rounds=2, max_rounds=4, runs=3)
    found = sweep({"a": work["a"]}, target_of(plug), protocol, tmp_path / "j.jsonl")
    with Journal(tmp_path / "j.jsonl", target_of(plug), protocol) as journal:
        assert [bool(entry.burst.disturbed) for entry in journal.entries].count(True) == 1
    assert sum(not burst.void for burst in found["a"].bursts) == 2


HELD = {"core 7 scaling_min_freq": "5", "core 7 scaling_max_freq": "5", "core 7 scaling_cur_freq": "5"}


@pytest.mark.parametrize(
    ("before", "changed"), [(HELD, True), ({**HELD, "core 7 scaling_min_freq": "1"}, False)], ids=["held", "free"]
)
def test_the_frequency_of_the_moment_counts_where_it_is_held(before: dict[str, str], changed: bool) -> None:
    later = Snapshot({**before, "core 7 scaling_cur_freq": "4"})
    assert bool(Snapshot(before).change_until(later)) == changed
    assert Snapshot(before).change_until(Snapshot(before)) == ""


@given(st.dictionaries(st.integers(0, 63), st.integers(0, 4_000_000), min_size=1), st.data())
def test_big_cores_are_never_slower_than_those_left_out(frequencies_khz: dict[int, int], data: st.DataObject) -> None:
    threads = data.draw(st.integers(1, len(frequencies_khz)))
    big, little = (choose_cores(frequencies_khz, threads, choice) for choice in ("big", "little"))
    assert len(big) == len(little) == threads
    for core in frequencies_khz.keys() - big:
        assert frequencies_khz[core] <= min(frequencies_khz[each] for each in big)
    assert [core for core in range(64) if int(affinity_mask(big), 16) >> core & 1] == big


def refused(target: Target) -> str:
    with pytest.raises(MillisError) as told:
        open_session(target).close()
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_machine_without_adb_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADB", "ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert "there is no adb: apt-get install adb" in refused(Target.parse("adb:0A1B:litert"))
    assert adb.reachable() == ()
    assert adb.checks()[0].mend.startswith("apt-get install adb")


def test_adb_is_found_in_android_s_sdk_and_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "platform-tools" / "adb"
    program.parent.mkdir()
    program.touch(0o755)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    assert find_adb() == str(program)
    monkeypatch.setenv("ADB", str(tmp_path / "gone"))
    assert find_adb() is None


def test_phones_are_listed_and_an_unknown_one_is_told_beside_them(plugs: Plugs) -> None:
    serials = sorted(plugs().serial for _ in range(2))
    for serial in serials:
        subprocess.run(["adb", "connect", serial], check=True, capture_output=True)
    assert {(each.name, each.description, each.problem) for each in adb.reachable()} == {
        (f"adb:{serial}", "Pretend 8 pretend", "") for serial in serials
    }
    told = refused(Target.parse("adb:0A1B:litert"))
    assert "adb:0A1B is not connected; adb lists " in told
    assert all(serial in told for serial in serials)
    assert "there are several phones, name one as adb:SERIAL:litert: 127.0.0.1:" in refused(Target.parse("adb:litert"))


def test_what_adb_lists_is_told_with_what_to_do() -> None:
    text = """* daemon started successfully
List of devices attached
0A041FDD4000       device usb:1-2 product:shiba model:Pixel_8 device:shiba transport_id:1
emulator-5554          offline transport_id:3
0123456789ABCDEF       no permissions (user in plugdev group; are your udev rules wrong?); see [http://developer.android.com]
adb-1A2B-x._adb-tls-connect._tcp unauthorized transport_id:4

"""
    pixel, emulator, closed, wireless = read_list(text)
    assert (pixel.serial, pixel.description, pixel.problem) == ("0A041FDD4000", "Pixel 8 shiba", "")
    assert emulator.problem == "offline: unplug it and plug it in again"
    assert closed.problem.startswith("no permissions: open its USB port to you")
    assert (wireless.state, wireless.serial) == ("unauthorized", "adb-1A2B-x._adb-tls-connect._tcp")


def test_the_only_phone_needs_no_name(plug: Plug) -> None:
    assert "adb lists no phone: plug one in" in refused(Target.parse("adb:litert"))
    subprocess.run(["adb", "connect", plug.serial], check=True, capture_output=True)
    open_session(Target.parse("adb:litert")).close()


@pytest.mark.parametrize(
    ("mood", "message"),
    [
        ("unauthorized", r"(unauthorized|authorizing): accept the dialog on its screen"),
        ("recovery", "recovery: start Android on it"),
    ],
)
def test_a_phone_that_is_not_ready_says_what_to_do(plugs: Plugs, mood: str, message: str) -> None:
    plug = plugs(mood=mood)
    assert re.fullmatch(f"adb:{plug.serial} cannot be used: {message}", refused(target_of(plug)))
    assert all(re.fullmatch(message, each.problem) for each in adb.reachable())


def test_a_phone_without_the_tool_says_where_to_get_it(plug: Plug, monkeypatch: pytest.MonkeyPatch) -> None:
    plug.phone.local("/data/local/tmp/benchmark_model").unlink()
    assert "there is no benchmark_model" in refused(target_of(plug))
    assert [(each.runtimes, "benchmark_model in its" in each.problem) for each in adb.reachable()] == [((), True)]
    monkeypatch.setenv("MILLIS_BENCHMARK_MODEL", "/nonexistent")
    assert "MILLIS_BENCHMARK_MODEL=/nonexistent: no such file" in refused(target_of(plug))
    assert [check.ok for check in adb.checks()] == [True, False]


def test_a_tool_of_this_machine_is_brought_once_by_its_content(
    plug: Plug, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "android_aarch64_benchmark_model"
    tool.write_text(recorded_tool())
    monkeypatch.setenv("MILLIS_BENCHMARK_MODEL", str(tool))
    first, second = opened(plug), opened(plug)
    assert first.environment == second.environment
    assert sum(command.startswith("{ mv ") for command in plug.phone.ran) == 1
    assert adb.checks()[1].found == str(tool)


def test_another_program_of_that_name_is_no_tool(plug: Plug) -> None:
    plug.phone.put_tool("#!/bin/sh\necho 'ELF: wrong architecture' >&2\nexit 126\n")
    assert "does not tell benchmark_model's flags: ELF: wrong architecture; get it with: curl" in refused(
        target_of(plug)
    )


def test_other_runtimes_are_pointed_elsewhere(plug: Plug) -> None:
    with pytest.raises(TargetError, match=r"over adb only litert .* ssh:USER@PHONE:onnxruntime.* browser:onnxruntime"):
        open_session(Target(device=f"adb:{plug.serial}", runtime="onnxruntime"))


def test_more_threads_than_cores_name_the_target(plug: Plug) -> None:
    assert refused(target_of(plug, threads=9)).endswith(
        "litert?threads=9: 9 threads asked, but the phone tells of 8 cores"
    )


def test_cores_that_the_phone_keeps_to_itself_say_how_to_go_on(plug: Plug) -> None:
    (plug.phone.root / "commands/taskset").write_text("#!/bin/sh\necho 'taskset: failed to set affinity'\nexit 1\n")
    assert "cannot pin to cores 7: taskset: failed to set affinity; use cores=any" in refused(target_of(plug))


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (recorded_tool("failed", status=1), r"a\.tflite: ERROR: .* Failed to load model"),
        (recorded_tool("tflite", status=139), r"a\.tflite: .*"),
        (recorded_tool("unknown_flag"), r"a\.tflite: this benchmark_model does not know --use_gpu=true"),
        (recorded_tool("tflite_mean_only"), "too old to tell how often it ran; get a newer one with: curl"),
        (recorded_tool("help_tflite"), "output cannot be read: "),
    ],
)
def test_a_run_that_failed_is_told_in_the_tool_s_words(
    plug: Plug, work: dict[str, Artifact], tool: str, message: str
) -> None:
    plug.phone.put_tool(tool)
    session = opened(plug)
    with pytest.raises(DeviceError, match=message) as failed:
        session.burst(work["a"], BRIEF, 0)
    assert "\n" not in str(failed.value)
    assert str(failed.value).startswith(f"adb:{plug.serial}:litert: ")
    session.close()


@pytest.mark.parametrize(
    ("flags", "output", "options", "told"),
    [
        ("help_tflite", "gpu", {"accelerator": "gpu"}, "--gpu_precision_loss_allowed=false --use_gpu=true"),
        (
            "help_litert",
            "litert",
            {"accelerator": "gpu"},
            "--gpu-precision=fp32 --require_full_delegation=true --use_cpu=false --use_gpu=true",
        ),
        ("help_litert", "litert", {}, "--use_cpu=true"),
        ("help_tflite", "tflite_without_percentiles", {}, "--use_xnnpack=true"),
    ],
)
def test_each_tool_is_told_the_target_by_flags_of_its_own(
    plug: Plug, work: dict[str, Artifact], flags: str, output: str, options: dict[str, object], told: str
) -> None:
    plug.phone.put_tool(recorded_tool(output, flags))
    session = opened(plug, **options)
    assert session.burst(work["a"], BRIEF, 0).statistics is not None
    assert session.environment.facts["flags"] == f"{told} --num_threads=1"
    assert f"{told} --num_threads=1 --warmup_runs=3 --warmup_min_secs=0.1 --num_runs=3" in plug.phone.ran[-1]
    session.close()


def test_a_model_that_is_not_wholly_on_the_gpu_is_not_timed(plug: Plug, work: dict[str, Artifact]) -> None:
    plug.phone.put_tool(recorded_tool("gpu_in_part"))
    session = opened(plug, accelerator="gpu")
    with pytest.raises(DeviceError, match=r"a\.tflite: 4 of 65 operations did not run on the GPU \(GATHER_ND"):
        session.burst(work["a"], BRIEF, 0)
    session.close()


def test_a_tool_without_a_gpu_is_refused(plug: Plug, tmp_path: Path) -> None:
    without = tmp_path / "help.txt"
    without.write_text(re.sub("\t--(use_gpu|gpu_).*\n", "", (FIXTURES / "help_tflite.txt").read_text()))
    plug.phone.put_tool(f"#!/bin/sh\ncat {without}\n")
    assert "has no --gpu_precision_loss_allowed, --use_gpu; get one that has with: curl" in refused(
        target_of(plug, accelerator="gpu")
    )


def test_a_model_of_another_batch_is_never_timed(plug: Plug, work: dict[str, Artifact]) -> None:
    session = opened(plug, batch=4)
    with pytest.raises(TargetError, match="compiled for batches of 1"):
        session.burst(work["a"], BRIEF, 0)
    session.close()


def test_a_link_that_hangs_is_noticed(plug: Plug) -> None:
    opened(plug).close()
    with pytest.raises(DeviceLostError, match="no answer within 0 s"):
        AdbLink(plug.serial).shell("sleep 20", timeout_s=0.3)


def test_what_is_sent_to_the_shell_is_quoted(plug: Plug) -> None:
    opened(plug).close()
    assert AdbLink(plug.serial).require("printf", "%s", "a b'c$(echo no)\"\\n") == "a b'c$(echo no)\"\\n"
