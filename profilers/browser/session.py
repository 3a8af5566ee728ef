"""A browser that measures: jobs go to the page, times come back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from profilers.artifact import Artifact, TensorSpec
from profilers.browser.libraries import library_version
from profilers.browser.server import PageServer
from profilers.environment import Environment, asked_of
from profilers.errors import MillisError
from profilers.measurement import Burst
from profilers.protocol import Protocol
from profilers.target import Target

# Raised whenever times of two versions should not be pooled.
# 1: first version
PAGE_VERSION = 1
_ASKED = ("runtime", "accelerator", "threads", "precision")  # what of a target the page is told
_STOPPED = "The command on the computer was stopped. What was measured is kept; run it again to go on."


class BrowserSession:
    """A page in some browser that has the target's runtime loaded."""

    def __init__(self, target: Target, libraries: Path, notify: Callable[[str], None], *, lan: bool) -> None:
        self._target = target
        self._jobs = 0
        version = library_version(target.runtime)
        opening = {name: getattr(target, name) for name in _ASKED}
        opening |= {"target": str(target), "runtime_version": version}
        self._server = PageServer(libraries, opening, notify, lan=lan)
        try:
            notify(invitation(self._server.address, self._server.port, lan=lan))
            opened = self._server.wait_for_page()
        except BaseException:
            self.close()
            raise
        self._state = dict(opened.state)
        facts = {"page": str(PAGE_VERSION), "affinity": "not pinned", "runtime": target.runtime}
        self.environment = Environment(
            facts | {"runtime_version": version} | opened.environment.facts() | asked_of(target)
        )
        notify(f"{target}: measuring {opened.environment.user_agent}")

    def state(self) -> dict[str, str]:
        """What the page told when it was opened."""
        return self._state

    def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        """Load the artifact, warm up and time it; raises TargetError for an artifact of another batch."""
        artifact.require_batch(self._target.batch)
        self._jobs += 1
        job = {
            "do": "burst",
            "id": self._jobs,
            "model": artifact.sha256,
            "name": " → ".join(", ".join(map(shape_text, edge)) for edge in (artifact.inputs, artifact.outputs)),
            "inputs": [{"shape": each.shape, "dtype": each.dtype} for each in artifact.inputs],
            "round": round,
            "rounds": protocol.rounds,
            "warmup_runs": protocol.warmup_runs,
            "warmup_ms": protocol.warmup_ms,
            "runs": protocol.runs,
            "burst_ms": protocol.burst_ms,
            "max_runs": protocol.max_runs,
        }
        timed = self._server.ask(job, artifact)
        return Burst(round=round, times_ms=timed.times_ms, warmup_ms=timed.warmup_ms, disturbed=timed.disturbed)

    def close(self) -> None:
        """End it; the page tells its reader of the exception on the way, where there is one."""
        self._server.close(_told(sys.exception()))


def invitation(address: str, port: int, *, lan: bool) -> str:
    """What to open where, with a QR code that a phone's camera reads from a terminal."""
    import io

    import segno

    picture = io.StringIO()
    segno.make(address, error="m", micro=False).terminal(picture, border=2, compact=True)
    if lan:
        told = (
            "Open it on the phone, in this network. It is open to the network until this command ends, and works in "
            "the first browser only."
        )
    else:
        told = (
            f"Open it in a browser on this machine, or on an Android phone connected by USB after: "
            f"adb reverse tcp:{port} tcp:{port}\nFor a phone in the same network, run this command with --lan."
        )
    return f"\n{picture.getvalue()}\n{address}\n{told}"


def shape_text(tensor: TensorSpec) -> str:
    """Height, width and channels, whatever the layout; the classes of a classifier; all sizes of a plain tensor."""
    if tensor.layout == "plain":
        return "x".join("?" if size < 0 else str(size) for size in tensor.shape) or "1"
    if tensor.layout == "NCHW":
        _, channels, height, width = tensor.shape
        return f"{height}x{width}x{channels}"
    return "x".join(map(str, tensor.shape[1:]))


def _told(error: BaseException | None) -> str:
    if error is None:
        return ""
    return str(error) if isinstance(error, MillisError) else _STOPPED
