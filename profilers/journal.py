"""measurements.jsonl: what a sweep measured, appended burst by burst, so that a killed sweep loses nothing.

Each timing process begins with a line that tells target, protocol, environment and state; every other line is one
burst, of an operation or of the sentinel. Times are raw. What is void or noisy is derived when the journal is read.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import IO, Any, Self

from profilers.drift import floor_ms, levels
from profilers.environment import Environment, require_same
from profilers.errors import FileError
from profilers.files import naming
from profilers.measurement import Burst, Measurement, Statistics
from profilers.protocol import Protocol
from profilers.target import Target

# 1: a line with "environment" for each timing process; a line with "key" (null: the sentinel) for each burst, in the
#    order taken, times in ms
# 2: a burst may say what disturbed it, and hold "statistics" instead of times
SCHEMA = 2


@dataclass(frozen=True, slots=True)
class Entry:
    """One burst as it stands in the journal; the sentinel's have no key."""

    key: str | None
    sha256: str
    session: int
    burst: Burst


class Journal:
    """The open journal of one sweep. Another process that opens it meanwhile is refused.

    Raises FileError where the file is in use or is no journal, EnvironmentMismatchError where it holds measurements
    of another target or protocol.
    """

    def __init__(self, path: Path, target: Target, protocol: Protocol) -> None:
        self.path = path
        self.environment: Environment | None = None
        self.entries: list[Entry] = []
        self.sessions = 0
        self._protocol = protocol
        self._subject = {"target": str(target)} | {f"protocol {name}": v for name, v in asdict(protocol).items()}
        self._head = {"schema": SCHEMA, "target": str(target), "protocol": asdict(protocol)}
        self._file = _open_locked(path)
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def begin(self, environment: Environment, state: Mapping[str, str]) -> None:
        """Note that a timing process was opened; raises EnvironmentMismatchError where it is not the same place."""
        if self.environment is not None:
            environment.require_same(self.environment, what=self._refusal)
        self._write(self._head | {"environment": dict(environment.facts), "state": dict(state)})
        self.environment = environment
        self.sessions += 1

    def append(self, key: str | None, sha256: str, burst: Burst) -> None:
        """Write one burst durably."""
        line = {"key": key, "sha256": sha256, "round": burst.round}
        times = {"times_ms": list(burst.times_ms), "warmup_ms": list(burst.warmup_ms)}
        told = {"statistics": asdict(burst.statistics)} if burst.statistics is not None else {}
        self._write(line | times | told | ({"disturbed": burst.disturbed} if burst.disturbed else {}))
        self.entries.append(Entry(key, sha256, self.sessions, burst))

    def measurements(self) -> dict[tuple[str, str], Measurement]:
        """What is known so far, by key and hash of the compiled model."""
        bursts: dict[tuple[str, str], list[Burst]] = {}
        for entry in self._judged():
            if entry.key is not None:
                bursts.setdefault((entry.key, entry.sha256), []).append(entry.burst)
        return {subject: self._measurement(*subject, self._agreeing(taken)) for subject, taken in bursts.items()}

    def sentinel_ms(self, sha256: str) -> float:
        """What that sentinel took while nothing slowed the device down, by its bursts so far; infinite without any."""
        sentinels = (entry for entry in self.entries if entry.key is None and entry.sha256 == sha256)
        times = [entry.burst.median_ms for entry in sentinels]
        return floor_ms(times, self._protocol.drift) if times else inf

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _refusal(self) -> str:
        return f"{self.path} (choose another -o, or delete it)"

    def _measurement(self, key: str, sha256: str, bursts: tuple[Burst, ...]) -> Measurement:
        assert self.environment is not None  # no burst stands before the first head
        return Measurement(
            key=key,
            sha256=sha256,
            bursts=bursts,
            environment=self.environment,
            steady_spread=self._protocol.steady_spread,
        )

    def _judged(self) -> Iterator[Entry]:
        """The entries with the device's level; disturbed ones are void, and those where the device strayed."""
        for entry, level in zip(self.entries, self._levels(), strict=True):
            void = abs(level - 1) > self._protocol.drift or bool(entry.burst.disturbed)
            yield replace(entry, burst=replace(entry.burst, level=level, void=void))

    def _agreeing(self, bursts: Sequence[Burst]) -> tuple[Burst, ...]:
        """The bursts of one model; void are also those that took longer than its fastest that agree."""
        counted = [burst.undisturbed_ms for burst in bursts if not burst.void]
        if not counted:
            return tuple(bursts)
        most_ms = floor_ms(counted, self._protocol.drift) * (1 + self._protocol.drift)
        return tuple(replace(burst, void=burst.void or burst.undisturbed_ms > most_ms) for burst in bursts)

    def _levels(self) -> list[float]:
        return levels(
            [entry.burst.median_ms for entry in self.entries],
            [f"{entry.key} {entry.sha256}" for entry in self.entries],
            [entry.session for entry in self.entries],
            [entry.key is None for entry in self.entries],
        )

    def _load(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        for number, line in enumerate(whole.split(b"\n")[:-1], 1):
            try:
                self._read_line(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                told = f"{type(error).__name__}: {error}"
                raise FileError(f"{self.path}:{number}: not a line of a measurement journal: {told}") from None
        if len(whole) < len(data):  # torn by a kill in the middle of a write
            self._file.truncate(len(whole))

    def _read_line(self, line: dict[str, Any]) -> None:
        if "environment" in line:
            self._read_head(line)
        elif self.environment is None:
            raise ValueError("a burst before any environment")
        else:
            burst = Burst(
                round=line["round"],
                times_ms=_times(line["times_ms"]),
                warmup_ms=_times(line["warmup_ms"]),
                disturbed=str(line.get("disturbed", "")),
                statistics=Statistics(**line["statistics"]) if "statistics" in line else None,
            )
            if bool(burst.times_ms) == bool(burst.statistics):
                raise ValueError("a burst without times")
            self.entries.append(Entry(line["key"], line["sha256"], self.sessions, burst))

    def _read_head(self, line: dict[str, Any]) -> None:
        if line["schema"] != SCHEMA:
            raise ValueError(f"schema {line['schema']!r}, but this millis reads version {SCHEMA}")
        subject = {"target": line["target"]} | {f"protocol {name}": v for name, v in line["protocol"].items()}
        require_same(self._subject, subject, what=self._refusal)
        self.environment = Environment(dict(line["environment"]))
        self.sessions += 1

    def _write(self, line: dict[str, Any]) -> None:
        with naming(self.path):
            self._file.write(json.dumps(line).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())


def _open_locked(path: Path) -> IO[bytes]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise FileError(f"{path}: another millis is measuring into this file; wait for it or end it") from None
    return file


def _times(values: list[float]) -> tuple[float, ...]:
    times = tuple(float(value) for value in values)
    if not all(0 < time < inf for time in times):
        raise ValueError("a time that is not positive")
    return times
