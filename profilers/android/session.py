"""Timing on an Android phone: a session holds the phone steady and runs `benchmark_model` once for each burst."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable

from profilers.android import phone
from profilers.android.adb_link import AdbLink
from profilers.android.benchmark_model import complaint, read_timings, require_known_flags, require_whole_graph
from profilers.android.files import PhoneFiles
from profilers.android.tool import GET_TOOL, find_tool, known_flags, length_flags, patience_seconds, target_flags
from profilers.artifact import Artifact
from profilers.devices import Notify
from profilers.environment import Environment, asked_of
from profilers.errors import DeviceError
from profilers.measurement import Burst, Statistics
from profilers.protocol import Protocol
from profilers.target import Target

_PART = "millis-part"
_POLL_SECONDS, _PATIENCE_SECONDS = 10, 600  # a hot phone cools in minutes


class AndroidSession:
    """A phone that is held steady, with the tool and the models that were brought there."""

    def __init__(self, link: AdbLink, target: Target, notify: Notify, sleep: Callable[[float], None]) -> None:
        self._link, self._target, self._notify, self._sleep = link, target, notify, sleep
        self._files = PhoneFiles(link)
        frequencies_khz = phone.max_frequencies_khz(link)
        self._cores = _chosen(frequencies_khz, target)
        self._pin = _pin(link, self._cores)
        self._tool = find_tool(link, self._files)
        self._flags = target_flags(known_flags(link, self._tool), target)
        self._fixed = phone.set_fixed_performance(link, enabled=True)
        try:
            self.environment = self._read_environment(frequencies_khz)
        except BaseException:
            self.close()
            raise

    def state(self) -> dict[str, str]:
        return phone.state(self._link)

    def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        """Wait until the phone is cool, then run the tool once; raises TargetError for an artifact of another batch."""
        artifact.require_batch(self._target.batch)
        try:
            place = self._files.place(artifact.path, artifact.sha256, f".{artifact.format}")
            words = [*self._pin, self._tool, f"--graph={place}", *self._flags, *length_flags(protocol)]
            before, output, after = self._run_cool(words, patience_seconds(protocol))
            statistics = self._read(output)
        except DeviceError as error:
            raise type(error)(f"{self._target}: {artifact.path.name}: {error}") from None
        return Burst(round=round, statistics=statistics, disturbed=before.change_until(after))

    def close(self) -> None:
        if self._fixed:
            with contextlib.suppress(DeviceError):  # a phone that is gone keeps the mode until it starts anew
                phone.set_fixed_performance(self._link, enabled=False)

    def _run_cool(self, words: list[str], timeout_s: float) -> tuple[phone.Snapshot, str, phone.Snapshot]:
        """Run the tool between two snapshots, in one command to the phone, unless the first one tells of heat."""
        snapshot = phone.snapshot_script(self._cores)
        script = (
            f"before=$({snapshot})",
            'echo "$before"',
            "case \"$before\" in *'thermal status='[1-9]*) ;;",
            f"*) echo {_PART}; {shlex.join(words)}; status=$?; echo; echo {_PART}; {snapshot}; (exit $status);; esac",
        )
        for waited_s in range(0, _PATIENCE_SECONDS, _POLL_SECONDS):
            status, text = self._link.shell(*script, timeout_s=timeout_s)
            before, *ran = text.split(f"{_PART}\n")
            if status:
                raise DeviceError(complaint(ran[0] if ran else before))
            if len(ran) == 2:
                output = ran[0].removesuffix("\n")  # which is ours
                return phone.read_snapshot(before), output, phone.read_snapshot(ran[1])
            if waited_s % 60 == 0:
                self._notify(f"{self._target} is hot; waiting until it has cooled")
            self._sleep(_POLL_SECONDS)
        raise DeviceError(
            f"the phone is still hot after {_PATIENCE_SECONDS // 60} minutes; what was measured is kept: "
            "let it cool, without its cover, then run the same command again"
        )

    def _read(self, output: str) -> Statistics:
        require_known_flags(output)
        if self._target.accelerator == "gpu" and "--require_full_delegation=true" not in self._flags:
            require_whole_graph(output, "GPU")
        reading = read_timings(output)
        if reading.statistics is None:
            raise DeviceError(
                f"this benchmark_model is too old to tell how often it ran; get a newer one with: {GET_TOOL}"
            )
        return reading.statistics

    def _read_environment(self, frequencies_khz: dict[int, int]) -> Environment:
        _, snapshot = self._link.shell(phone.snapshot_script(self._cores))
        status = phone.read_snapshot(snapshot).thermal_status
        told = ",".join(str(khz) for _, khz in sorted(frequencies_khz.items()))
        facts = {
            "cores": str(len(frequencies_khz)),
            "max_frequencies_khz": told if any(frequencies_khz.values()) else "not exposed",
            "governor": phone.governor(self._link, self._cores[0] if self._cores else 0),
            "affinity": ",".join(map(str, self._cores)) or "not pinned",
            "fixed_performance": "on" if self._fixed else "not available",
            "thermal_gate": "not available" if status is None else "thermal status 0",
            "runtime": "litert",
            "runtime_version": f"benchmark_model {self._files.digest(self._tool)[:12]}",
            "flags": " ".join(self._flags),
            "times": "the tool's medians, or means where whole microseconds are too coarse; p90 is at most its p95",
        }
        return Environment(phone.properties(self._link) | facts | asked_of(self._target))


def _chosen(frequencies_khz: dict[int, int], target: Target) -> list[int]:
    try:
        return phone.choose_cores(frequencies_khz, target.threads, target.cores)
    except ValueError as error:
        raise DeviceError(f"{target}: {error}") from None


def _pin(link: AdbLink, cores: list[int]) -> list[str]:
    """The words that pin a command to the cores; raises DeviceError where the phone does not let them."""
    if not cores:
        return []
    words = ["taskset", phone.affinity_mask(cores)]
    status, output = link.shell(shlex.join([*words, "true"]))
    if status:
        told = complaint(output)
        raise DeviceError(f"{link}: cannot pin to cores {','.join(map(str, cores))}: {told}; use cores=any")
    return words
