"""Devices: where a timing loop runs. Every module here is one kind of device, and adding one is adding a file.

A target names the kind first: `local:litert`, `ssh:pi@raspberry:litert`, `adb:SERIAL:litert`, `browser:onnxruntime`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol as TypingProtocol
from typing import cast

from profilers.artifact import Artifact
from profilers.check import Check
from profilers.environment import Environment
from profilers.errors import TargetError
from profilers.measurement import Burst
from profilers.protocol import Protocol
from profilers.target import Target

Notify = Callable[[str], None]  # a line for whoever is waiting: an address to open, a connection that was lost


def tell_nobody(text: str) -> None:
    """Nobody waits for notices."""


class Session(TypingProtocol):
    """An open timing process on a device, pinned and ready for one target."""

    @property
    def environment(self) -> Environment: ...

    def state(self) -> dict[str, str]:
        """What changes from moment to moment: load, frequencies, temperatures."""

    def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        """Bring the artifact there unless the device has it, load it, warm up and time it.

        Raises DeviceError where the device fails, DeviceLostError where it is gone.
        """

    def close(self) -> None: ...


class Device(TypingProtocol):
    """A machine that can be measured."""

    def require(self, target: Target, *, float_edges: bool) -> None:
        """Raise TargetError for what this kind of device never measures, before anything is compiled for it.

        Operations have inputs and outputs of the target's precision; with `float_edges` files are meant that have
        float32 ones in every precision, as those that are shipped.
        """

    def open(self, target: Target, notify: Notify) -> Session:
        """Start the timing process. Raises DeviceError, DeviceLostError, TargetError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reachable:
    """A device that a target can name right now."""

    name: str  # the first part of a target: "adb:0A041FDD"
    description: str
    runtimes: tuple[str, ...]  # those found there, as targets name them
    problem: str = ""  # why it cannot be measured as it is, and what to do


class DeviceKind(TypingProtocol):
    """What each module here gives."""

    def connect(self, address: str) -> Device:
        """The device at an address, without talking to it yet; raises TargetError for an address that is none."""

    def reachable(self) -> tuple[Reachable, ...]:
        """The devices of this kind that are there now, found within a few seconds."""

    def checks(self) -> tuple[Check, ...]:
        """What this machine has and lacks for measuring devices of this kind."""


def device_kinds() -> tuple[str, ...]:
    """The kinds of device, `local` first."""
    return tuple(sorted((module.name for module in iter_modules(__path__)), key=lambda name: (name != "local", name)))


def load_device_kind(kind: str) -> DeviceKind:
    """The kind of device of that name; raises TargetError where there is none."""
    if kind not in device_kinds():
        raise TargetError(f"device {kind!r} is not available; there are: {', '.join(device_kinds())}")
    return cast(DeviceKind, import_module(f"{__name__}.{kind}"))


def require_device(target: Target, *, float_edges: bool = False) -> Device:
    """The device of a target; raises TargetError for one that nothing here serves."""
    kind, _, address = target.device.partition(":")
    try:
        device = load_device_kind(kind).connect(address)
        device.require(target, float_edges=float_edges)
    except TargetError as error:
        raise TargetError(f"target {target}: {error}") from None
    return device


def open_session(target: Target, notify: Notify = tell_nobody) -> Session:
    """A timing process for `target`, wherever it is. Raises TargetError and DeviceError."""
    return require_device(target, float_edges=True).open(target, notify)
