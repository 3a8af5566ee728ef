"""Where a measurement was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from profilers.errors import EnvironmentMismatchError


@dataclass(frozen=True, slots=True)
class Environment:
    """Facts that must agree before measurements are pooled: CPU, cores, affinity, governor, OS, runtime, version."""

    facts: Mapping[str, str]

    def require_same(self, other: Environment, *, what: str) -> None:
        """Raise EnvironmentMismatchError naming every fact that differs."""
        names = sorted(set(self.facts) | set(other.facts))
        differing = [
            f"{name} {self.facts.get(name, 'unknown')!r} against {other.facts.get(name, 'unknown')!r}"
            for name in names
            if self.facts.get(name) != other.facts.get(name)
        ]
        if differing:
            raise EnvironmentMismatchError(f"{what}: measured in another environment: {'; '.join(differing)}")
