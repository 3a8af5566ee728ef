"""The resumable sweep: every compiled model timed over several rounds, in random order, beside a sentinel."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from profilers.artifact import Artifact
from profilers.devices import Notify, Session, open_session, tell_nobody
from profilers.errors import DeviceLostError
from profilers.journal import Journal
from profilers.measurement import Measurement
from profilers.protocol import Protocol
from profilers.target import Target

Progress = Callable[[int, int], None]  # bursts done, bursts planned so far
Opener = Callable[[Target, Notify], Session]

# The key of a model that is the sentinel and nothing else. Sweeps into one journal that name the same one are tied
# together by it, however the device's speed changed in between.
SENTINEL = ""

# A device that others, or heat, slow down is given time: at most these pauses, and one more for every fourth burst.
_PAUSE_SECONDS = 0.5
_PAUSES = 20

_PATIENCE_SECONDS = (0, 2, 5, 10, 20)  # before each new try to reach a device that was lost


def ignore_progress(done: int, planned: int) -> None:
    """Nobody watches."""


def sweep(
    work: Mapping[str, Artifact],
    target: Target,
    protocol: Protocol,
    journal_path: Path,
    *,
    on_progress: Progress = ignore_progress,
    notify: Notify = tell_nobody,
    opener: Opener = open_session,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Measurement]:
    """Measure what the journal does not hold yet; the same call after a kill goes on where it stopped.

    A device that is lost is asked for again, a few times for each burst that came of it; one that was never there is
    not. Raises DeviceError where it fails or stays away; what was measured until then is in the journal.
    """
    with Journal(journal_path, target, protocol) as journal:
        models = {key: artifact for key, artifact in work.items() if key != SENTINEL}
        rounds = _Rounds(models, _sentinel(work), protocol, journal, on_progress, notify, sleep)
        waits: Iterator[float] | None = None
        while rounds.next() is not None:
            sessions, bursts = journal.sessions, _timed(journal)
            try:
                _measure(rounds, target, opener, notify)
            except DeviceLostError as error:
                if _timed(journal) > bursts or (waits is None and journal.sessions > sessions):
                    waits = iter(_PATIENCE_SECONDS)
                _wait(error, next(waits or iter(()), None), notify, sleep)
        known = journal.measurements()
        return {key: known[key, artifact.sha256] for key, artifact in models.items()}


def _measure(rounds: _Rounds, target: Target, opener: Opener, notify: Notify) -> None:
    session = opener(target, notify)
    try:
        rounds.journal.begin(session.environment, session.state())
        rounds.run(session)
    finally:
        session.close()


def _timed(journal: Journal) -> int:
    """Bursts but those of the sentinel: it runs also where a model ends every timing process."""
    return sum(entry.key is not None for entry in journal.entries)


def _wait(error: DeviceLostError, seconds: float | None, notify: Notify, sleep: Callable[[float], None]) -> None:
    """Before the device is asked for again; raises where patience is at its end."""
    if seconds is None:
        raise DeviceLostError(f"{error}; what was measured is kept, run the same command again to go on") from error
    notify(f"{error}; trying again" + (f" in {seconds} s" if seconds else ""))
    sleep(seconds)


@dataclass(frozen=True, slots=True)
class _Round:
    """One round and the models that it has still to time, in its own order."""

    number: int
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Rounds:
    """The bursts that are still due, round after round."""

    work: Mapping[str, Artifact]
    sentinel: Artifact | None
    protocol: Protocol
    journal: Journal
    on_progress: Progress
    notify: Notify
    sleep: Callable[[float], None]

    def next(self) -> _Round | None:
        """The first round in which a model is due; any may be, for a burst can be found void long after it."""
        known = self._known()
        for number in range(self.protocol.max_rounds):
            keys = [key for key, measurement in known.items() if self._is_due(measurement, number)]
            if keys:
                random.Random(number).shuffle(keys)
                return _Round(number, tuple(keys))
        return None

    def run(self, session: Session) -> None:
        """Time what is due until nothing is: each model once a round, the sentinel before, between and after them.

        Where the sentinel tells that the device is slowed down, it is given time; what was timed until then is void.
        """
        done, planned, pauses = 0, self._first_bursts_due(), 0
        while due := self.next():
            if done:
                self.sleep(self.protocol.cooldown_s)
            else:
                self._time(session, None, self.sentinel, due.number)
            planned += len(due.keys) if due.number >= self.protocol.rounds else 0
            for position, key in enumerate(due.keys, 1):
                self._time(session, key, self.work[key], due.number)
                done += 1
                self.on_progress(done, planned)
                if position % self.protocol.bursts_per_sentinel == 0 or position == len(due.keys):
                    pauses += self._time_sentinel(session, due.number, _PAUSES + done // 4 - pauses)

    def _time_sentinel(self, session: Session, number: int, most: int) -> int:
        """Until it takes no longer than it did before; how many pauses that took, at most `most`."""
        assert self.sentinel is not None
        usual_ms, pauses = self.journal.sentinel_ms(self.sentinel.sha256), 0
        burst = session.burst(self.sentinel, self.protocol, number)
        while burst.median_ms > usual_ms * (1 + self.protocol.drift) and pauses < most:
            if not pauses:
                self.notify(f"the device is {burst.median_ms / usual_ms - 1:.0%} slower than it was; waiting")
            self.sleep(_PAUSE_SECONDS)
            pauses += 1
            burst = session.burst(self.sentinel, self.protocol, number)
        self.journal.append(None, self.sentinel.sha256, burst)
        return pauses

    def _known(self) -> dict[str, Measurement | None]:
        measurements = self.journal.measurements()
        return {key: measurements.get((key, artifact.sha256)) for key, artifact in self.work.items()}

    def _first_bursts_due(self) -> int:
        """How many bursts are due before it is known which models need more rounds."""
        first = range(self.protocol.rounds)
        return sum(self._is_due(measurement, number) for measurement in self._known().values() for number in first)

    def _is_due(self, measurement: Measurement | None, number: int) -> bool:
        if measurement is None:
            return True
        if any(burst.round == number for burst in measurement.bursts):
            return False
        return number < self.protocol.rounds or self._wants_more(measurement)

    def _wants_more(self, measurement: Measurement) -> bool:
        counted = sum(not burst.void for burst in measurement.bursts)
        return measurement.verdict == "noisy" or counted < self.protocol.rounds

    def _time(self, session: Session, key: str | None, artifact: Artifact | None, number: int) -> None:
        assert artifact is not None  # where there is work there is a sentinel
        self.journal.append(key, artifact.sha256, session.burst(artifact, self.protocol, number))


def _sentinel(work: Mapping[str, Artifact]) -> Artifact | None:
    """The one that is named, or a model of middling size, the same one on every call for the same work."""
    if SENTINEL in work:
        return work[SENTINEL]
    by_size = sorted(work.values(), key=lambda artifact: (artifact.size_bytes, artifact.sha256))
    return by_size[len(by_size) // 2] if by_size else None
