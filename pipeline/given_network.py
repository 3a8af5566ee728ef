"""A published network as a space of its own, which leaves nothing to decide: for other images and classes too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.chain import LARGEST
from pipeline.space import Decision, Rule, SpaceError
from profilers.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenNetwork:
    """A published network, by its name in `millis count`. What is 0 is as published."""

    of: str = "mobilenet-v2"
    resolution: int = 0
    channels: int = 0
    classes: int = 0

    def __post_init__(self) -> None:
        for name in ("resolution", "channels", "classes"):
            if not 0 <= getattr(self, name) <= LARGEST:
                raise SpaceError(f"{name}={getattr(self, name)} must be from 1 to {LARGEST}, or 0 as published")

    def decisions(self) -> tuple[Decision, ...]:
        return ()

    def rules(self) -> tuple[Rule, ...]:
        return ()

    def graph(self, choices: Sequence[int]) -> Graph:
        # Here, for published networks themselves stand in spaces.
        from pipeline.published import published_network

        changed = {name: getattr(self, name) for name in ("resolution", "channels", "classes") if getattr(self, name)}
        return published_network(self.of).architecture(**changed).graph()
