"""A browser, a phone's above all: it opens a page of ours, which measures. `browser:lan` is reached by the network."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from profilers.browser import libraries
from profilers.check import Check
from profilers.devices import Notify, Reachable
from profilers.errors import TargetError
from profilers.target import Target

if TYPE_CHECKING:
    from profilers.browser.session import BrowserSession

_PACKAGES = ("aiohttp", "segno")
# What a page can have each runtime compute on: its WASM build, or WebGPU by the name that the runtime has for it.
_ACCELERATORS = {"litert": ("cpu", "gpu"), "onnxruntime": ("cpu", "webgpu")}


@dataclass(frozen=True, slots=True)
class BrowserDevice:
    """Any browser that opens the page: on this machine, or on the local network where `lan`."""

    lan: bool

    def require(self, target: Target, *, float_edges: bool) -> None:
        """Raise TargetError for what no page can measure, and where a part is missing here."""
        runtime = target.runtime
        if runtime not in _ACCELERATORS:
            raise TargetError(f"in a browser there is no {runtime}; there are: {', '.join(_ACCELERATORS)}")
        if target.accelerator not in _ACCELERATORS[runtime]:
            there = ", ".join(_ACCELERATORS[runtime])
            raise TargetError(f"in a browser {runtime} has no accelerator {target.accelerator!r}; there are: {there}")
        if target.cores == "little":
            raise TargetError("in a browser nothing can be pinned to slow cores; leave out cores")
        if (runtime, target.precision) == ("litert", "int8") and not float_edges:
            library = libraries.library_version("litert")
            raise TargetError(
                f"{library} takes no int8 inputs, which operations have; browser:onnxruntime?precision=int8 does. "
                "With browser:litert a run measures its files in every precision"
            )
        for check in checks():
            if not check.ok:
                raise TargetError(f"{check.found}: {check.mend}")

    def open(self, target: Target, notify: Notify) -> BrowserSession:
        from profilers.browser.session import BrowserSession

        return BrowserSession(target, libraries.require_installed(), notify, lan=self.lan)


def connect(address: str) -> BrowserDevice:
    if address not in {"", "lan"}:
        raise TargetError(f"device 'browser:{address}': write browser, or browser:lan for one in the local network")
    return BrowserDevice(lan=address == "lan")


def reachable() -> tuple[Reachable, ...]:
    problems = [f"{check.found}: {check.mend}" for check in checks() if not check.ok]
    return (
        Reachable(
            name="browser",
            description="any browser that opens the page",
            runtimes=() if problems else tuple(_ACCELERATORS),
            problem="; ".join(problems),
        ),
    )


def checks() -> tuple[Check, ...]:
    return _server_check(), _libraries_check()


def _server_check() -> Check:
    purpose = "profile a browser: the page's server"
    try:
        found = ", ".join(f"{package} {version(package)}" for package in _PACKAGES)
    except PackageNotFoundError as error:
        return Check(name=purpose, ok=False, found=f"no {error.name}", mend="pip install 'millis[browser]'")
    return Check(name=purpose, ok=True, found=found)


def _libraries_check() -> Check:
    purpose = "profile a browser: its runtimes"
    if libraries.installed():
        versions = ", ".join(map(libraries.library_version, _ACCELERATORS))
        return Check(name=purpose, ok=True, found=f"{versions} in {libraries.libraries()}")
    npm = "" if shutil.which("npm") else "apt-get install npm, then "
    found = "the browser's runtimes are not installed"
    return Check(name=purpose, ok=False, found=found, mend=npm + libraries.INSTALL)
