"""This machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from profilers import agent
from profilers.devices.agent_session import AgentSession
from profilers.errors import TargetError
from profilers.target import Target


@dataclass(frozen=True, slots=True)
class LocalDevice:
    """The timing agent runs in a Python of its own, without torch, so that nothing else shares its process."""

    def open(self, target: Target) -> AgentSession:
        # -P: the agent's folder must not come before the installed packages.
        return AgentSession([sys.executable, "-P", agent.__file__], target)


def connect(address: str) -> LocalDevice:
    if address:
        raise TargetError(f"target: device 'local:{address}' has an address, but local is this machine")
    return LocalDevice()
