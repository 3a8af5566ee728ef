"""Android phones over adb: LiteRT's or TFLite's `benchmark_model` times there.

A target is `adb:SERIAL:litert`, or `adb:litert` for the only phone; a serial is what `adb devices` lists, or HOST:PORT.
The tool is never downloaded: MILLIS_BENCHMARK_MODEL names it on this machine, or it lies on the phone already.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from profilers.android.adb_link import INSTALL_ADB, AdbLink, Listed, connect_over_network, find_adb, list_devices
from profilers.android.session import AndroidSession
from profilers.android.tool import require_tool, tool_check
from profilers.check import Check
from profilers.devices import Notify, Reachable
from profilers.errors import DeviceError, DeviceLostError, TargetError
from profilers.target import Target


def connect(address: str) -> AdbDevice:
    return AdbDevice(address)


def reachable() -> tuple[Reachable, ...]:
    """The phones that adb lists; asking starts adb's server where none runs."""
    return () if find_adb() is None else tuple(map(_reachable, list_devices()))


def checks() -> tuple[Check, ...]:
    """Starts no server of adb's."""
    adb = find_adb()
    there = Check(
        name="reach Android phones", ok=adb is not None, found=adb or "no adb", mend="" if adb else INSTALL_ADB
    )
    return (there, tool_check())


@dataclass(frozen=True, slots=True)
class AdbDevice:
    """A phone; the only one where no serial is given."""

    serial: str = ""
    sleep: Callable[[float], None] = time.sleep

    def require(self, target: Target, *, float_edges: bool) -> None:
        if target.runtime != "litert":
            raise TargetError(
                f"over adb only litert is measured; {target.runtime} runs on a phone in Termux, as "
                f"ssh:USER@PHONE:{target.runtime}, or in its browser, as browser:{target.runtime}"
            )

    def open(self, target: Target, notify: Notify) -> AndroidSession:
        return AndroidSession(AdbLink(_ready(self.serial).serial), target, notify, self.sleep)


def _reachable(phone: Listed) -> Reachable:
    problem = phone.problem
    if not problem:
        try:
            require_tool(AdbLink(phone.serial))
        except DeviceError as error:
            problem = str(error)
    runtimes = () if problem else ("litert",)
    return Reachable(name=f"adb:{phone.serial}", description=phone.description, runtimes=runtimes, problem=problem)


def _ready(serial: str) -> Listed:
    """The phone that is asked for, once it can be used; raises DeviceLostError while it cannot."""
    phones = list_devices()
    if re.fullmatch(r"\S+:\d+", serial) and all(phone.problem for phone in phones if phone.serial == serial):
        connect_over_network(serial)
        phones = list_devices()
    asked = [phone for phone in phones if serial in {"", phone.serial}]
    if len(asked) > 1:
        raise TargetError(f"there are several phones, name one as adb:SERIAL:litert: {_named(phones)}")
    if not asked and serial:
        raise DeviceLostError(f"adb:{serial} is not connected; adb lists {_named(phones)}")
    if not asked:
        raise DeviceLostError("adb lists no phone: plug one in, with USB debugging on in its developer options")
    if asked[0].problem:
        raise DeviceLostError(f"adb:{asked[0].serial} cannot be used: {asked[0].problem}")
    return asked[0]


def _named(phones: tuple[Listed, ...]) -> str:
    return ", ".join(f"{phone.serial} ({phone.description}, {phone.state})" for phone in phones) or "no phone"
