"""A published network: where it lies in a space of ours, and what its authors print about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

from pipeline.architecture import Architecture
from pipeline.darts_networks import architecture_of
from pipeline.genotypes import GENOTYPES
from pipeline.spaces import parse_space

_PRINTED = re.compile(r"([0-9]+(?:\.[0-9]+)?)([MG])")
_UNITS = {"M": 10**6, "G": 10**9}


@dataclass(frozen=True, slots=True)
class Figure:
    """A count as its authors print it, `320.4M`; where ours is another number, why."""

    printed: str
    reason: str = ""

    def agrees(self, count: int) -> bool:
        """Whether a count, rounded or cut off to as many digits, is what is printed."""
        match = _PRINTED.fullmatch(self.printed)
        if match is None:
            raise ValueError(f"{self.printed!r} is not a printed count, as in 4.08M")
        value, exact = Decimal(match[1]), Decimal(count) / _UNITS[match[2]]
        return value in {exact.quantize(value, rounding) for rounding in (ROUND_HALF_UP, ROUND_DOWN)}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNetwork:
    """A space, and the label of each of its decisions in order, a line per stage; or, in DARTS's space, a genotype.

    `counted` says what a reader must know to count it as its authors do; a figure that is None was not published.
    """

    title: str
    paper: str
    space: str
    labels: str = ""
    genotype: str = ""
    params: Figure | None = None
    macs: Figure | None = None
    counted: str = ""

    def architecture(self, **changed: int) -> Architecture:
        """The network as it was published, but for options of its space, such as its classes; raises SpaceError."""
        space = parse_space(_with_options(self.space, changed))
        if self.genotype:
            return architecture_of(GENOTYPES[self.genotype], space)
        names = [decision.name for decision in space.decisions]
        return Architecture.from_labels(space, dict(zip(names, self.labels.split(), strict=True)))


def _with_options(space: str, changed: dict[str, int]) -> str:
    name, _, query = space.partition("?")
    kept = [word for word in query.split("&") if word and word.partition("=")[0] not in changed]
    words = [*kept, *(f"{option}={value}" for option, value in changed.items())]
    return f"{name}?{'&'.join(words)}" if words else name
