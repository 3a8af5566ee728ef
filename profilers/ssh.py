"""Boards over ssh: how they are reached, what is there, and what mends what is not.

The system's own ssh is used, so that the user's configuration, keys and jump hosts apply. MILLIS_SSH is the command to
use instead, with options of its own: `MILLIS_SSH='ssh -F other_config'`.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from profilers.agent_session import GREETING
from profilers.errors import DeviceError, DeviceLostError, TargetError

# A dead link is noticed within 15 seconds; nothing asks for a password, forwards a port or stays behind as the master
# of other connections, though a master that is there is used.
_OPTIONS = (
    "BatchMode=yes",
    "ClearAllForwardings=yes",
    "ControlMaster=no",
    "ServerAliveInterval=5",
    "ServerAliveCountMax=3",
    "LogLevel=INFO",
)
_LEAST_PYTHON = (3, 8)
_NUMPY_1 = '"numpy<2"'  # what tflite_runtime was made for
_SSH_FAILED = 255  # its exit status where it is ssh that failed, not the command

# Read alike by every login shell: the Python that the user made for us, else the system's, runs the program.
_LAUNCH = (
    "exec sh -c '"
    'for python in "$HOME/.millis/bin/python" python3; do command -v "$python" >/dev/null 2>&1 && '
    'exec "$python" -c "import base64, sys; exec(base64.b64decode(sys.argv[1]))" {program}; done; '
    "echo there is no python3 in its PATH >&2; exit 1'"
)
# Tells what is there, on a line of its own after whatever a login shell printed; becomes the agent, where it is sent.
# Runs on any Python 3. The current folder, which may hold anything, is no place to import from.
_PROGRAM = """
import importlib.util, json, os, platform, sys
sys.path = [path for path in sys.path if path]
modules = [name for name in {modules} if importlib.util.find_spec(name)]
numpy = ""
if {{"numpy", "tflite_runtime"}} <= set(modules) and sys.version_info >= (3, 8):
    import importlib.metadata
    numpy = importlib.metadata.version("numpy")
model = "/proc/device-tree/model"
model = open(model).read().rstrip("\\0") if os.path.exists(model) else ""
open_to_pip = sys.prefix != sys.base_prefix or "/.millis/" in sys.executable
found = dict(python=sys.version_info[:3], executable=sys.executable, open_to_pip=open_to_pip, modules=modules,
             numpy=numpy, model=model, system=platform.system(), machine=platform.machine())
sys.stdout.write("\\n{greeting}" + json.dumps(found) + "\\n")
sys.stdout.flush()
source = sys.stdin.readline()
if source:
    exec(compile(json.loads(source), "agent.py", "exec"), dict(__name__="__main__"))
"""
# What may import as a runtime there, the first choice first.
_MODULES = {
    "litert": ("ai_edge_litert", "tflite_runtime"),
    "onnxruntime": ("onnxruntime",),
    "pytorch": ("torch",),
}

# What ssh says, whether asking again may help, what to do: the first that fits.
_REASONS = (
    ("HOST IDENTIFICATION HAS CHANGED", False, "its key is another than before; if that is right, run: {forget}"),
    ("Host key verification failed", False, "its key is not known yet; see it and accept it with: ssh {address}"),
    ("Permission denied", False, "let your key in with: ssh-copy-id {address}"),
    ("Could not resolve hostname", False, "is its name right?"),
    ("[Bb]ad configuration|[Bb]ad owner or permissions", False, "mend the configuration of ssh"),
    ("", True, "is it on, and does it serve ssh?"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where ssh goes: `user@host`, a host that ssh's configuration names, `user@host:2222`, `[::1]:2222`."""

    destination: str
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises TargetError for what is no address."""
        name, ipv6 = r"[^\s@:\[\]/-][^\s@:\[\]/]*", r"\[[0-9A-Fa-f:.]+(?:%\w+)?\]"
        found = re.fullmatch(rf"((?:{name}@)?(?:{name}|{ipv6}))(?::([0-9]{{1,5}}))?", text)
        if found is None or int(found[2] or 1) not in range(1, 65536):
            raise TargetError(f"device 'ssh:{text}': write ssh:user@host, ssh:user@host:2222 or ssh:host")
        return cls(destination=re.sub(r"[\[\]]", "", found[1]), port=int(found[2]) if found[2] else None)

    def __str__(self) -> str:
        """As ssh takes it."""
        return f"-p {self.port} {self.destination}" if self.port else self.destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """What a board tells about its Python."""

    python: tuple[int, int, int]
    executable: str
    open_to_pip: bool  # an environment of the user's own; most systems keep pip out of theirs
    modules: tuple[str, ...]  # those of a runtime, and numpy
    numpy: str  # its version, where it matters
    model: str  # "Raspberry Pi 5 Model B Rev 1.0", where the board tells
    system: str
    machine: str

    @property
    def description(self) -> str:
        version = ".".join(map(str, self.python))
        return ", ".join(filter(None, [self.model, f"{self.system} {self.machine}", f"Python {version}"]))

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The runtimes that can be measured there as it is."""
        return tuple(runtime for runtime in _MODULES if self.python >= _LEAST_PYTHON and not self.lacks(runtime))

    def lacks(self, runtime: str) -> str:
        """What must be installed for a runtime, as pip is told; nothing where all is there."""
        wanted = _MODULES[runtime]
        present = [module for module in wanted if module in self.modules]
        if not present:
            return self.distribution(runtime)
        if "numpy" not in self.modules:
            return _NUMPY_1 if present == ["tflite_runtime"] else "numpy"
        too_new = present == ["tflite_runtime"] and not self.numpy.startswith("1.")
        return _NUMPY_1 if too_new else ""

    def distribution(self, runtime: str) -> str:
        """What gives a runtime to such a machine, as pip is told; it brings numpy along."""
        modules = _MODULES[runtime]
        if "tflite_runtime" in modules and (self.python < (3, 9) or self.machine.startswith("armv")):
            return f"tflite-runtime {_NUMPY_1}"
        return modules[0].replace("_", "-")


def remote_command(address: Address, *, connect_seconds: int = 10) -> list[str]:
    """The command that starts Python on a board, which greets with what is there and then waits for the agent."""
    program = _PROGRAM.format(modules=sorted({"numpy", *sum(_MODULES.values(), ())}), greeting=GREETING)
    launch = _LAUNCH.format(program=base64.b64encode(program.encode()).decode())
    options = [f"-o{option}" for option in (*_OPTIONS, f"ConnectTimeout={connect_seconds}")]
    port = ["-p", str(address.port)] if address.port else []
    return [*_ssh(), "-T", "-x", *options, *port, "--", address.destination, launch]


def look(address: Address, *, connect_seconds: int = 10, answer_seconds: int = 30) -> Board:
    """What a board has. Raises DeviceLostError where it does not answer, DeviceError where it refuses."""
    try:
        done = subprocess.run(
            remote_command(address, connect_seconds=connect_seconds),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            encoding="utf-8",
            errors="replace",
            timeout=connect_seconds + answer_seconds,
        )
    except FileNotFoundError as error:
        raise DeviceError(f"ssh {address}: {error.filename} is not installed: apt-get install openssh-client") from None
    except subprocess.TimeoutExpired as error:
        raise DeviceLostError(f"ssh {address}: no answer within {error.timeout:.0f} seconds") from None
    greeting = [line for line in done.stdout.splitlines() if line.startswith(GREETING)]
    if not greeting:
        raise _refusal(address, done)
    return _board(json.loads(greeting[0][len(GREETING) :]))


def shortage(address: Address, board: Board, runtime: str) -> str:
    """What a board lacks for a runtime, and the command that mends it; nothing where all is there."""
    if board.python < _LEAST_PYTHON:
        version = ".".join(map(str, board.python))
        return (
            f"ssh {address}: {board.executable} there is Python {version}, and 3.8 is the least; make ~/.millis there "
            "a virtual environment of a newer one"
        )
    lacking = board.lacks(runtime)
    if not lacking:
        return ""
    what = lacking.replace(" ", " and ").replace('"', "")
    return f"ssh {address}: {board.executable} there has no {what}; install it: {_mend(address, board, runtime)}"


def _mend(address: Address, board: Board, runtime: str) -> str:
    """A command that works on any board of its kind: where the Python is the system's, an environment is made."""
    if "com.termux" in board.executable and runtime == "onnxruntime":
        return f"ssh {address} pkg install python-onnxruntime python-numpy"
    if board.open_to_pip:
        return f"ssh {address} '{board.executable} -m pip install {board.lacks(runtime)}'"
    return f"ssh {address} 'python3 -m venv ~/.millis && ~/.millis/bin/pip install {board.distribution(runtime)}'"


def _refusal(address: Address, done: subprocess.CompletedProcess[str]) -> DeviceError:
    """Why a board did not greet, in ssh's or its own words."""
    last = (["", *done.stdout.split("\n"), *done.stderr.strip().split("\n")])[-1].strip()
    if done.returncode != _SSH_FAILED:
        return DeviceError(f"ssh {address}: {last or 'no answer'}; a shell is needed there, and Python 3.8 or newer")
    advised = re.search(r"ssh-keygen -f .*", done.stderr)
    forget = advised[0].strip() if advised else f"ssh-keygen -R {address.destination.rpartition('@')[2]}"
    lost, advice = next((lost, advice) for words, lost, advice in _REASONS if re.search(words, done.stderr))
    kind = DeviceLostError if lost else DeviceError
    said, to_do = last.removeprefix("ssh: ").rstrip("."), advice.format(address=address, forget=forget)
    return kind(f"ssh {address}: {said}; {to_do}")


def _board(found: dict[str, Any]) -> Board:
    return Board(**found | {"python": tuple(found["python"]), "modules": tuple(found["modules"])})


def config_file() -> Path:
    """The user's configuration of ssh."""
    words = _ssh()
    given = next((Path(file) for option, file in pairwise(words) if option == "-F"), None)
    return given or Path.home() / ".ssh" / "config"


def _ssh() -> list[str]:
    return shlex.split(os.environ.get("MILLIS_SSH") or "ssh")
