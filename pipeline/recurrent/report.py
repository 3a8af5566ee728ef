"""What a language run found and how each number was obtained: `report.json`, and `report.html`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from typing import ClassVar

_STRICT: dict[str, object] = {"extra": "forbid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCell:
    """A cell, and the best validation loss of a model around it, nats a token; predicted latency by target."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    genotype: str
    validation_loss: float
    steps: int
    predicted_ms: Mapping[str, float]

    @property
    def perplexity(self) -> float:
        return exp(self.validation_loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSeeds:
    """The cells of the seeds that a search is the best of."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    seeds: Mapping[int, JudgedCell]


@dataclass(frozen=True, slots=True, kw_only=True)
class CellBaseline:
    """The cell found beside random ones, each in a model that was trained for `epochs` from scratch."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    epochs: int
    found: JudgedCell
    random: tuple[JudgedCell, ...]

    @property
    def rivals(self) -> dict[str, JudgedCell]:
        """By what they are called."""
        best = min(self.random, key=lambda cell: cell.validation_loss)
        return {"found": self.found, f"best of {len(self.random)} random": best}
