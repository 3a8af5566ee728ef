"""A device that others measured: a name for the table that was imported, and nothing that could be measured here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from profilers.check import Check
from profilers.devices import Notify, Reachable
from profilers.errors import TargetError
from profilers.target import Target


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A device by the name that its table was imported under."""

    name: str

    def require(self, target: Target, *, float_edges: bool) -> NoReturn:
        raise TargetError(
            f"{self.name} is elsewhere: its table was imported, and nothing here can measure it; a device of your own "
            "is local, ssh:USER@HOST, adb or browser"
        )

    def open(self, target: Target, notify: Notify) -> NoReturn:
        self.require(target, float_edges=True)


def connect(address: str) -> Elsewhere:
    if not address:
        raise TargetError("device 'elsewhere' has no name; write elsewhere:pixel1")
    return Elsewhere(address)


def reachable() -> tuple[Reachable, ...]:
    return ()


def checks() -> tuple[Check, ...]:
    return ()
