"""Boards reached over ssh: OpenSSH's own sshd on a loopback port, whose sessions are those of another machine."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path
from typing import Self

_SSHD = "/usr/sbin/sshd"  # which must be started by its whole path
_SERVER = """
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
ForceCommand {folder}/login
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 100
"""
_CLIENT = """
Host {names}
    HostName 127.0.0.1
    Port {port}
    User {user}
    IdentityFile {folder}/user_key
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
"""
# What a login does on a board: its own home and commands, whatever its profile prints, the user's shell.
_LOGIN = """#!/bin/sh
export HOME={home} PATH={path}
unset MILLIS_CACHE XDG_CACHE_HOME
cd "$HOME"
printf '%s' {banner}
exec {shell} -c "$SSH_ORIGINAL_COMMAND"
"""


@dataclass(kw_only=True)
class Sshd:
    """A board behind a daemon that can be stopped and started again on its port.

    `commands` comes first in the PATH of its sessions; `shell` is the login shell, which prints `banner` first.
    """

    folder: Path
    commands: Path
    banner: str = ""
    shell: str = "/bin/sh"
    system_path: str = "/usr/bin:/bin"
    names: str = "board"
    port: int = field(init=False)
    _process: subprocess.Popen[bytes] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True)
        self.port = _free_port()
        for key in ("host_key", "user_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", str(self.folder / key)]
            subprocess.run(command, check=True)
        host_key = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {host_key}")
        self._fill("sshd_config", _SERVER)
        self._fill("ssh_config", _CLIENT)
        self._fill("login", _LOGIN).chmod(0o755)

    @property
    def home(self) -> Path:
        """The home folder that sessions see."""
        return self.folder / "home"

    @property
    def client(self) -> str:
        """The `ssh` that knows this board as the host `board`."""
        return f"ssh -F {self.folder / 'ssh_config'}"

    def start(self) -> None:
        """Put the daemon up, unless it is."""
        if self._process is not None:
            return
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # which the system's start script makes
        with (self.folder / "sshd.log").open("ab") as log:
            command = [_SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config")]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while not self._answers():
            if self._process.poll() is not None:
                raise RuntimeError(f"sshd did not start: {(self.folder / 'sshd.log').read_text()}")

    def stop(self) -> None:
        """End the daemon and, as a pulled plug would, every connection."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # no new connection, and its children stay its own
            self.drop()
            self._process.kill()
            self._process.wait()
            self._process = None

    def drop(self) -> int:
        """Cut every connection, and say how many there were; what ran in them is not ended by this."""
        ended = [pid for pid, name in self._descendants() if name.startswith("sshd")]
        for pid in ended:
            _kill(pid)
        return len(ended)

    def agents(self) -> list[int]:
        """The Pythons, emulated ones too, that run in connections to this board."""
        return [pid for pid, name in self._descendants() if name.startswith(("python", "qemu"))]

    def kill_agents(self) -> int:
        """Kill them, and say how many there were."""
        agents = self.agents()
        for pid in agents:
            _kill(pid)
        return len(agents)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _descendants(self) -> Iterator[tuple[int, str]]:
        waiting = [self._process.pid] if self._process else []
        while waiting:
            for child in _children(waiting.pop()):
                waiting.append(child)
                yield child, _name(child)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _fill(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(
            text.format(
                folder=self.folder,
                port=self.port,
                names=self.names,
                user=getuser(),
                home=shlex.quote(str(self.home)),
                path=shlex.quote(f"{self.commands}:{self.system_path}"),
                banner=shlex.quote(self.banner),
                shell=self.shell,
            )
        )
        return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
