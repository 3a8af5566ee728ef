"""Talking to the timing agent: JSON lines over the stdin and stdout of a process, near or far."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import subprocess
import tempfile
from typing import Any, Self

from profilers.artifact import Artifact
from profilers.environment import Environment, asked_of
from profilers.errors import DeviceError, DeviceLostError
from profilers.measurement import Burst
from profilers.protocol import Protocol
from profilers.target import Target

GREETING = "millis-board "  # begins the line by which a process far away asks for the agent
_OPENING = ("runtime", "accelerator", "precision", "threads", "cores")  # what of a target the agent is told
_END_SECONDS = 10  # an agent that is told to end does so within a burst


class AgentSession:
    """A running agent. One request, one answer; a process that ends in between raises DeviceLostError.

    `shares_files`: the agent reads this machine's files. Elsewhere an artifact is sent once and kept by its content.
    `source`: the agent's, for a process that asks for it with GREETING, whatever a login shell printed before.
    """

    def __init__(self, command: list[str], target: Target, *, shares_files: bool, source: str | None = None) -> None:
        self._target = target
        self._shares_files = shares_files
        self._places: dict[str, str] = {}  # hash of an artifact -> its path at the agent
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the session
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            encoding="utf-8",
            errors="replace",
        )
        try:
            if source is not None:
                self._hand_over(source)
            opened = self._ask({"do": "open"} | {name: getattr(target, name) for name in _OPENING})
        except BaseException:
            self.close()
            raise
        self.environment = Environment(opened["environment"] | asked_of(target))

    def state(self) -> dict[str, str]:
        return dict(self._ask({"do": "state"})["state"])

    def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        """Load the artifact, warm up and time it; raises TargetError for an artifact of another batch."""
        artifact.require_batch(self._target.batch)
        answer = self._ask(
            {
                "do": "burst",
                "path": self._place(artifact),
                "shapes": _shapes(artifact),
                "warmup_runs": protocol.warmup_runs,
                "warmup_ms": protocol.warmup_ms,
                "runs": protocol.runs,
                "burst_ms": protocol.burst_ms,
                "max_runs": protocol.max_runs,
            }
        )
        return Burst(
            round=round,
            times_ms=tuple(time / 1e6 for time in answer["times_ns"]),
            warmup_ms=tuple(time / 1e6 for time in answer["warmup_ns"]),
            disturbed=answer["disturbed"],
        )

    def profile(self, artifact: Artifact, runs: int) -> dict[str, tuple[float, ...]]:
        """What the runtime's own profiler tells of each operation, ms in each of `runs` runs, by its name there.

        The profiler slows them down. Raises DeviceError where a runtime has none.
        """
        request = {"do": "profile", "path": self._place(artifact), "shapes": _shapes(artifact), "runs": runs}
        operations = self._ask(request)["operations"]
        return {name: tuple(time / 1e6 for time in times) for name, times in operations.items()}

    def close(self) -> None:
        self._end()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._complaints.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self, artifact: Artifact) -> str:
        """The path by which the agent reads an artifact, which is sent where the agent does not have it."""
        if self._shares_files:
            return str(artifact.path)
        if artifact.sha256 not in self._places:
            name = f"{artifact.sha256}.{artifact.format}"
            place = self._ask({"do": "find", "name": name})["path"]
            if place is None:
                data = base64.b64encode(artifact.path.read_bytes()).decode()
                place = self._ask({"do": "keep", "name": name, "base64": data})["path"]
            self._places[artifact.sha256] = place
        return self._places[artifact.sha256]

    def _hand_over(self, source: str) -> None:
        while not self._next_line().startswith(GREETING):
            pass
        self._send(source)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        what = " ".join(filter(None, [request["do"], request.get("path", request.get("name"))]))
        try:
            self._send(request)
            line = self._next_line()
        except DeviceLostError as error:
            told = f"; it was asked to {what}" if "path" in request else ""
            raise DeviceLostError(f"{error}{told}") from None
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            told = f"{self._target}: {what} was answered by {line.strip()!r}, not by the agent"
            raise DeviceLostError(told) from None
        if "error" in answer:
            raise DeviceError(f"{self._target}: {what} failed: {' '.join(answer['error'].split())}")
        return answer

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def _next_line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith("\n"):
            raise self._gone()
        return line

    def _gone(self) -> DeviceLostError:
        status = self._end()
        if status < 0:
            ended = f"was ended by signal {-status} ({signal.strsignal(-status)})"
        else:
            ended = f"ended with status {status}"
        self._complaints.seek(0)
        last_words = self._complaints.read().decode(errors="replace").strip().splitlines()[-1:]
        told = ": ".join([f"the timing process {ended}", *last_words])
        return DeviceLostError(f"{self._target}: {told}")

    def _end(self) -> int:
        """Let the process end, or make it; its exit status."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the agent may be gone already
            self._process.stdin.close()
        try:
            return self._process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _shapes(artifact: Artifact) -> dict[str, list[int]]:
    """Of inputs whose names and sizes are the file's own, which may leave sizes open."""
    return {tensor.name: list(tensor.shape) for tensor in artifact.inputs if tensor.layout == "plain"}
