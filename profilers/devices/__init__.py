"""Devices: where a timing loop runs. Adding one takes a file here and a line in DEVICES."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol as TypingProtocol
from typing import cast

from profilers.artifact import Artifact
from profilers.environment import Environment
from profilers.errors import TargetError
from profilers.measurement import Burst
from profilers.protocol import Protocol
from profilers.target import Target


class Session(TypingProtocol):
    """An open timing process on a device, pinned and ready for one target."""

    @property
    def environment(self) -> Environment: ...

    def state(self) -> dict[str, str]:
        """What changes from moment to moment: load, frequencies, temperatures."""

    def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        """Load the artifact, warm up and time it. Raises DeviceError where the device fails or is gone."""

    def close(self) -> None: ...


class Device(TypingProtocol):
    """A machine that can be measured."""

    def open(self, target: Target) -> Session:
        """Start the timing process. Raises DeviceError."""


# Kind of a device -> the module whose `connect(address)` gives it.
DEVICES = {"local": "profilers.devices.local"}


def require_device(target: Target) -> Device:
    """The device of a target; raises TargetError for one that nothing here serves."""
    kind, _, address = target.device.partition(":")
    if kind not in DEVICES:
        raise TargetError(f"target {target}: device {kind!r} is not available; there are: {', '.join(DEVICES)}")
    return cast(Device, import_module(DEVICES[kind]).connect(address))


def open_session(target: Target) -> Session:
    """A timing process for `target`, wherever it is. Raises TargetError and DeviceError."""
    return require_device(target).open(target)
