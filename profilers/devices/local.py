"""This machine."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass

from profilers import agent
from profilers.agent_session import AgentSession
from profilers.check import Check
from profilers.devices import Notify, Reachable
from profilers.errors import TargetError
from profilers.runtimes import RUNTIMES, runtime_check
from profilers.target import Target


@dataclass(frozen=True, slots=True)
class LocalDevice:
    """The timing agent runs in a Python of its own, without torch, so that nothing else shares its process."""

    def require(self, target: Target, *, float_edges: bool) -> None:
        """A Python on this machine loads every runtime."""

    def open(self, target: Target, notify: Notify) -> AgentSession:
        # -P: the agent's folder must not come before the installed packages.
        return AgentSession([sys.executable, "-P", agent.__file__], target, shares_files=True)


def connect(address: str) -> LocalDevice:
    if address:
        raise TargetError(f"device 'local:{address}' has an address, but local is this machine")
    return LocalDevice()


def reachable() -> tuple[Reachable, ...]:
    installed = tuple(name for name in RUNTIMES if runtime_check(name).ok)
    problem = "" if installed else "no runtime is installed: pip install 'millis[all]'"
    cpu = f"{agent.cpu_model()}, {platform.system()} {platform.machine()}"
    return (Reachable(name="local", description=cpu, runtimes=installed, problem=problem),)


def checks() -> tuple[Check, ...]:
    from profilers.accelerators import accelerator_checks

    return (*(runtime_check(name) for name in RUNTIMES), *accelerator_checks())
