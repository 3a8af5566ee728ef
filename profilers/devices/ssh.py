"""Boards, servers and phones that are reached over ssh: `ssh:pi@raspberry:litert`."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from profilers import agent
from profilers.agent_session import AgentSession
from profilers.check import Check
from profilers.devices import Notify, Reachable
from profilers.errors import DeviceError, MillisError
from profilers.ssh import Address, config_file, look, remote_command, shortage
from profilers.ssh_config import host_names
from profilers.target import Target


@dataclass(frozen=True, slots=True)
class SshDevice:
    """The timing agent is sent over the connection that it then answers on; models are kept there by their content."""

    address: Address

    def require(self, target: Target, *, float_edges: bool) -> None:
        """A board's Python loads every runtime, if it is installed there."""

    def open(self, target: Target, notify: Notify) -> AgentSession:
        lacking = shortage(self.address, look(self.address), target.runtime)
        if lacking:
            raise DeviceError(lacking)
        source = Path(agent.__file__).read_text(encoding="utf-8")
        return AgentSession(remote_command(self.address), target, shares_files=False, source=source)


def connect(address: str) -> SshDevice:
    return SshDevice(Address.parse(address))


def reachable() -> tuple[Reachable, ...]:
    """The hosts that the user's configuration of ssh names, each looked at."""
    names = host_names(config_file()) if shutil.which("ssh") else ()
    with ThreadPoolExecutor(max_workers=len(names) or 1) as pool:
        return tuple(pool.map(_reachable, names))


def checks() -> tuple[Check, ...]:
    purpose, path = "profile over ssh", shutil.which("ssh")
    if path is None:
        return (Check(name=purpose, ok=False, found="no ssh", mend="apt-get install openssh-client"),)
    version = subprocess.run([path, "-V"], capture_output=True, text=True, check=False).stderr.partition(",")[0]
    return (Check(name=purpose, ok=True, found=version.strip()),)


def _reachable(host: str) -> Reachable:
    name = f"ssh:{host}"
    try:
        address = Address.parse(host)
        board = look(address, connect_seconds=3, answer_seconds=7)
    except MillisError as error:
        return Reachable(name=name, description="", runtimes=(), problem=str(error))
    problem = "" if board.runtimes else shortage(address, board, "litert")
    return Reachable(name=name, description=board.description, runtimes=board.runtimes, problem=problem)
