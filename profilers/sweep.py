"""The resumable sweep: every compiled model timed over several rounds, in random order, beside a sentinel."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from profilers.artifact import Artifact
from profilers.devices import Session, open_session
from profilers.journal import Journal
from profilers.measurement import Measurement
from profilers.protocol import Protocol
from profilers.target import Target

Progress = Callable[[int, int], None]  # bursts done, bursts planned so far


def ignore_progress(done: int, planned: int) -> None:
    """Nobody watches."""


def sweep(
    work: Mapping[str, Artifact],
    target: Target,
    protocol: Protocol,
    journal_path: Path,
    *,
    on_progress: Progress = ignore_progress,
    opener: Callable[[Target], Session] = open_session,
) -> dict[str, Measurement]:
    """Measure what the journal does not hold yet; the same call after a kill goes on where it stopped.

    Raises DeviceError where the device fails; what was measured until then is in the journal.
    """
    with Journal(journal_path, target, protocol) as journal:
        rounds = _Rounds(work, protocol, journal)
        if rounds.pending():
            session = opener(target)
            try:
                journal.begin(session.environment, session.state())
                rounds.run(session, on_progress)
            finally:
                session.close()
        known = journal.measurements()
        return {key: known[key, artifact.sha256] for key, artifact in work.items()}


@dataclass(frozen=True, slots=True)
class _Rounds:
    """The bursts that are still due, round after round."""

    work: Mapping[str, Artifact]
    protocol: Protocol
    journal: Journal

    def pending(self) -> bool:
        return any(self.due(round) for round in range(self.protocol.max_rounds))

    def due(self, round: int) -> list[str]:
        """The models that this round has still to time, in the order of this round."""
        taken = {(e.key, e.sha256) for e in self.journal.entries if e.burst.round == round}
        keys = [key for key, artifact in self.work.items() if (key, artifact.sha256) not in taken]
        if round >= self.protocol.rounds:
            known = self.journal.measurements()
            keys = [key for key in keys if self._wants_more(known.get((key, self.work[key].sha256)))]
        random.Random(round).shuffle(keys)
        return keys

    def _wants_more(self, measurement: Measurement | None) -> bool:
        if measurement is None or measurement.verdict == "noisy":
            return True
        return sum(not burst.void for burst in measurement.bursts) < self.protocol.rounds

    def run(self, session: Session, on_progress: Progress) -> None:
        sentinel = self._sentinel()
        done = 0
        planned = sum(len(self.due(round)) for round in range(self.protocol.rounds))
        for round in range(self.protocol.max_rounds):
            keys = self.due(round)
            planned += len(keys) if round >= self.protocol.rounds else 0
            step = self.protocol.bursts_per_sentinel
            for start in range(0, len(keys), step):
                self._time(session, None, sentinel, round)
                for key in keys[start : start + step]:
                    self._time(session, key, self.work[key], round)
                    done += 1
                    on_progress(done, planned)
            if keys:
                self._time(session, None, sentinel, round)

    def _time(self, session: Session, key: str | None, artifact: Artifact, round: int) -> None:
        self.journal.append(key, artifact.sha256, session.burst(artifact, self.protocol, round))

    def _sentinel(self) -> Artifact:
        """A model of middling size, the same one on every call for the same work."""
        by_size = sorted(self.work.values(), key=lambda artifact: (artifact.size_bytes, artifact.sha256))
        return by_size[len(by_size) // 2]
