"""Files that a device may turn out not to run: a newer operation on an older runtime, fp16 where there is none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from profilers.artifact import Artifact
from profilers.devices import Notify, Session, open_session
from profilers.environment import Environment
from profilers.errors import DeviceError, DeviceLostError, MillisError
from profilers.measurement import Burst
from profilers.precision import Precision
from profilers.protocol import Protocol
from profilers.target import Target

_LOSSES = 3  # a timing process that ends so often in a file's first burst is ended by the file


class DoesNotRunError(MillisError):
    """A file that a target could do without failed there before it ever ran."""

    def __init__(self, precision: Precision, reason: str) -> None:
        super().__init__(f"{precision}: {reason}")
        self.precision, self.reason = precision, reason


class Trial:
    """Opens sessions on a target that tell by DoesNotRunError which of the files on trial it does not run.

    One that ran is on trial no longer: what fails then is the device.
    """

    def __init__(self, target: Target, files: Mapping[Precision, Artifact]) -> None:
        self._target = target
        self._precisions = {artifact.sha256: precision for precision, artifact in files.items()}
        self._losses: Counter[str] = Counter()

    def open(self, target: Target, notify: Notify) -> Session:
        return _TrialSession(open_session(target, notify), self)

    def passed(self, artifact: Artifact) -> None:
        self._precisions.pop(artifact.sha256, None)

    def judge(self, artifact: Artifact, error: DeviceError) -> MillisError:
        """The error, or that the file does not run."""
        precision = self._precisions.get(artifact.sha256)
        self._losses[artifact.sha256] += isinstance(error, DeviceLostError)
        if precision is None or 0 < self._losses[artifact.sha256] < _LOSSES:
            return error
        return DoesNotRunError(precision, self._reason(artifact, str(error)))

    def _reason(self, artifact: Artifact, told: str) -> str:
        """What the device said, without the folders in which a file lies here or there."""
        place = rf"{re.escape(str(artifact.path))}|[^\s'\"]*{artifact.sha256}\.{artifact.format}"
        return re.sub(place, artifact.path.name, told.removeprefix(f"{self._target}: "))


@dataclass(frozen=True, slots=True)
class _TrialSession:
    """A session with files on trial."""

    session: Session
    trial: Trial

    @property
    def environment(self) -> Environment:
        return self.session.environment

    def state(self) -> dict[str, str]:
        return self.session.state()

    def burst(self, artifact: Artifact, protocol: Protocol, round: int) -> Burst:
        try:
            burst = self.session.burst(artifact, protocol, round)
        except DeviceError as error:
            raise self.trial.judge(artifact, error) from None
        self.trial.passed(artifact)
        return burst

    def close(self) -> None:
        self.session.close()
