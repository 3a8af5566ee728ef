"""measurements.jsonl: what a sweep measured, appended burst by burst, so that a killed sweep loses nothing.

The first line tells target, protocol and environment; after it each line is one burst, of an operation or of the
sentinel. Times are raw. What is void or noisy is derived when the journal is read.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import IO, Any, Self

from profilers.environment import Environment
from profilers.errors import EnvironmentMismatchError, FileError
from profilers.measurement import Burst, Measurement
from profilers.protocol import Protocol
from profilers.target import Target

SCHEMA = 1  # 1: header line, then bursts and sentinels in the order taken


@dataclass(frozen=True, slots=True)
class Entry:
    """One burst as it stands in the journal; the sentinel's have no key."""

    key: str | None
    sha256: str
    session: int
    burst: Burst


class Journal:
    """The open journal of one sweep. Another process that opens it meanwhile is refused."""

    def __init__(self, path: Path, target: Target, protocol: Protocol) -> None:
        self.path = path
        self._protocol = protocol
        self._head = {"schema": SCHEMA, "target": str(target), "protocol": asdict(protocol)}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise FileError(f"{path}: another millis is measuring into this file; wait for it or end it") from None
        self.environment: Environment | None = None
        self.entries: list[Entry] = []
        self._session = 0
        self._load()

    def begin(self, environment: Environment, state: Mapping[str, str]) -> None:
        """Note that a timing process was opened; raises EnvironmentMismatchError where it is not the same place."""
        if self.environment is not None:
            environment.require_same(self.environment, what=f"{self.path} (choose another -o, or delete it)")
        self.environment = environment
        self._session += 1
        self._append(self._head | {"environment": dict(environment.facts), "state": dict(state)})

    def append(self, key: str | None, sha256: str, burst: Burst) -> None:
        """Write one burst durably."""
        self.entries.append(Entry(key, sha256, self._session, burst))
        line = {"key": key, "sha256": sha256, "round": burst.round}
        times = {"times_ms": list(burst.times_ms), "warmup_ms": list(burst.warmup_ms)}
        self._append(line | times)

    def measurements(self) -> dict[tuple[str, str], Measurement]:
        """What is known so far, by key and hash of the compiled model."""
        bursts: dict[tuple[str, str], list[Burst]] = {}
        for entry in self._judged():
            if entry.key is not None:
                bursts.setdefault((entry.key, entry.sha256), []).append(entry.burst)
        return {subject: self._measurement(*subject, tuple(taken)) for subject, taken in bursts.items()}

    def _measurement(self, key: str, sha256: str, bursts: tuple[Burst, ...]) -> Measurement:
        assert self.environment is not None  # a journal with bursts has a header
        return Measurement(
            key=key,
            sha256=sha256,
            bursts=bursts,
            environment=self.environment,
            steady_spread=self._protocol.steady_spread,
        )

    def _judged(self) -> Iterator[Entry]:
        """The entries in order, those beside a strayed sentinel marked void."""
        sentinels = [e.burst.median_ms for e in self.entries if e.key is None]
        typical = median(sentinels) if sentinels else 0.0
        for window in _windows(self.entries):
            strayed = any(
                abs(e.burst.median_ms - typical) > self._protocol.sentinel_drift * typical
                for e in window
                if e.key is None
            )
            yield from (replace(entry, burst=replace(entry.burst, void=strayed)) for entry in window)

    def _load(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):  # torn by a kill in the middle of a write
            self._file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                self._read_line(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise FileError(f"{self.path}:{number}: not a line of a measurement journal: {error}") from None

    def _read_line(self, line: dict[str, Any]) -> None:
        if "environment" in line:
            self._check_head(line)
            self.environment = Environment(line["environment"])
            self._session += 1
            return
        burst = Burst(round=line["round"], times_ms=tuple(line["times_ms"]), warmup_ms=tuple(line["warmup_ms"]))
        self.entries.append(Entry(line["key"], line["sha256"], self._session, burst))

    def _check_head(self, line: dict[str, Any]) -> None:
        for field, wanted in self._head.items():
            if line[field] != wanted:
                told = f"{field} {_short(line[field])}, not {_short(wanted)}"
                raise EnvironmentMismatchError(f"{self.path}: holds measurements of {told}; choose another -o")

    def _append(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()


def _windows(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Runs of entries from one sentinel to the next of the same session, both included."""
    window: list[Entry] = []
    for entry in entries:
        if window and entry.session != window[-1].session:
            yield window
            window = []
        window.append(entry)
        if entry.key is None and len(window) > 1:
            yield window
            window = [entry]
    yield window


def _short(value: object) -> object:
    return value["name"] if isinstance(value, dict) else value
