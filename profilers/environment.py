"""Where a measurement was taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from profilers.errors import EnvironmentMismatchError

if TYPE_CHECKING:
    from profilers.target import Target


@dataclass(frozen=True, slots=True)
class Environment:
    """Facts that must agree before measurements are pooled: CPU, cores, affinity, governor, OS, runtime, version."""

    facts: Mapping[str, str]

    def require_same(self, other: Environment, *, what: str) -> None:
        """Raise EnvironmentMismatchError naming every fact that differs."""
        require_same(self.facts, other.facts, what=what)


def asked_of(target: Target) -> dict[str, str]:
    """The facts that the target itself fixes."""
    return {name: str(getattr(target, name)) for name in ("threads", "precision", "accelerator", "batch")}


def require_same(facts: Mapping[str, object], others: Mapping[str, object], *, what: str) -> None:
    """Raise EnvironmentMismatchError naming every fact that differs."""
    differing = [
        f"{name} {facts.get(name, 'unknown')!r} against {others.get(name, 'unknown')!r}"
        for name in sorted({*facts, *others})
        if facts.get(name) != others.get(name)
    ]
    if differing:
        raise EnvironmentMismatchError(f"{what}: measured under other conditions: {'; '.join(differing)}")
