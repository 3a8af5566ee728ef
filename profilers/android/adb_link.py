"""The system's `adb` client, told one command at a time; every command has an end, every failure says what to do."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from profilers.android.benchmark_model import shortened
from profilers.errors import DeviceError, DeviceLostError

INSTALL_ADB = "apt-get install adb, or Android's platform-tools; then put adb into PATH, or its path into ADB"

_COMMAND_SECONDS = 30.0
_PUSH_BYTES_PER_SECOND = 250_000  # of a slow wireless link
_END = "millis-end"  # adb without shell_v2 tells no exit status, and a lost link ends like a finished command
_ENDED = re.compile(rf"\r?\n{_END} (\d{{1,3}})\r?\n\Z")
_LISTED = re.compile(r"(?P<serial>\S+)\s+(?P<state>no permissions|\S+)(?P<rest>.*)")
_DO = {
    "unauthorized": "accept the dialog on its screen",
    "authorizing": "accept the dialog on its screen",
    "offline": "unplug it and plug it in again",
    "no permissions": "open its USB port to you: apt-get install android-sdk-platform-tools-common",
    "recovery": "start Android on it",
    "sideload": "start Android on it",
    "bootloader": "start Android on it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A device as `adb devices -l` lists it."""

    serial: str
    state: str  # "device" where it can be used
    description: str

    @property
    def problem(self) -> str:
        """Why it cannot be used, and what to do; empty where it can."""
        if self.state == "device":
            return ""
        return f"{self.state}: {_DO.get(self.state, 'unplug it and plug it in again')}"


def find_adb() -> str | None:
    """The client: what the environment's ADB names, the one in PATH, or that of Android's SDK."""
    if named := os.environ.get("ADB"):
        return shutil.which(named)
    sdks = [os.environ[name] for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if os.environ.get(name)]
    places = [None, *(str(Path(sdk) / "platform-tools") for sdk in sdks)]
    return next((found for place in places if (found := shutil.which("adb", path=place))), None)


def require_adb() -> str:
    """The client; raises DeviceError where there is none."""
    adb = find_adb()
    if adb is None:
        raise DeviceError(f"there is no adb: {INSTALL_ADB}")
    return adb


def list_devices() -> tuple[Listed, ...]:
    """What adb knows of, usable or not. Like any command of adb's it starts adb's server where none runs."""
    done = _adb("devices", "-l")
    if done.returncode:
        raise DeviceError(f"adb devices failed: {_complaint(done)}")
    return read_list(done.stdout)


def read_list(text: str) -> tuple[Listed, ...]:
    """The lines of `adb devices -l` that list a device."""
    matches = (_LISTED.fullmatch(line) for line in text.splitlines() if not line.startswith(("*", "List of")))
    return tuple(_listed(match) for match in matches if match is not None)


def connect_over_network(serial: str) -> None:
    """Ask adb for a device at HOST:PORT anew; whether it came is seen in the list."""
    _adb("disconnect", serial)
    _adb("connect", serial)


@dataclass(frozen=True, slots=True)
class AdbLink:
    """Commands to one device. Raises DeviceLostError where it does not answer, DeviceError where a command fails."""

    serial: str

    def shell(self, *commands: str, timeout_s: float = _COMMAND_SECONDS) -> tuple[int, str]:
        """Run lines of shell, quoted by the caller; exit status of the last, and all that they wrote."""
        script = "\n".join(commands)
        done = self._run("shell", f"{{ {script}\n}} 2>&1; printf '\\n{_END} %d\\n' $?", timeout_s=timeout_s)
        ended = _ENDED.search(done.stdout)
        if ended is None:
            raise DeviceLostError(f"{self}: the link was lost: {_complaint(done) or 'no answer'}")
        return int(ended[1]), done.stdout[: ended.start()].replace("\r\n", "\n")

    def require(self, *words: str, timeout_s: float = _COMMAND_SECONDS) -> str:
        """What one command wrote; raises DeviceError where it ended with an error."""
        status, output = self.shell(shlex.join(words), timeout_s=timeout_s)
        if status:
            told = shortened(output) or f"status {status}"
            raise DeviceError(f"{self}: {shortened(shlex.join(words))} failed: {told}")
        return output

    def push(self, path: Path, place: str) -> None:
        """Copy a file to the device; a link that breaks leaves half of it there."""
        timeout_s = _COMMAND_SECONDS + path.stat().st_size / _PUSH_BYTES_PER_SECOND
        done = self._run("push", str(path), place, timeout_s=timeout_s)
        if done.returncode:
            told = _complaint(done)
            failure = DeviceError if ": remote " in told else DeviceLostError  # `remote` comes before the phone's words
            raise failure(f"{self}: pushing {path.name} failed: {told}")

    def _run(self, *words: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        return _adb("-s", self.serial, *words, timeout_s=timeout_s)

    def __str__(self) -> str:
        return f"adb:{self.serial}"


def _adb(*words: str, timeout_s: float = _COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
    command: Sequence[str] = (require_adb(), *words)
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DeviceLostError(f"adb {shortened(' '.join(words), 60)}: no answer within {timeout_s:.0f} s") from None
    except OSError as error:
        raise DeviceError(f"{command[0]} cannot be run: {error.strerror}; {INSTALL_ADB}") from None


def _complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Why a command failed, in adb's words: its errors, or all that it said."""
    lines = f"{done.stderr}\n{done.stdout}".splitlines()
    return shortened(" ".join([line for line in lines if "error" in line] or lines))


def _listed(match: re.Match[str]) -> Listed:
    named = dict(word.split(":", 1) for word in match["rest"].split() if ":" in word)
    described = " ".join(named[name].replace("_", " ") for name in ("model", "device") if name in named)
    return Listed(serial=match["serial"], state=match["state"], description=described or "Android device")
