"""What a page may say. Anyone may have written what says it: whatever is not exactly this is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MESSAGE_BYTES = 1 << 20  # thousands of times, twice, as decimal numbers
_LONGEST_MS = 3_600_000.0

Text = Annotated[str, Len(0, 500)]
Milliseconds = Annotated[float, Interval(gt=0, lt=_LONGEST_MS)]
Count = Annotated[int, Interval(ge=1, le=4096)]
Microseconds = Annotated[int, Interval(ge=1, le=10_000_000)]
Times = Annotated[tuple[Milliseconds, ...], Len(0, 10_000)]
_STRICT: dict[str, object] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class PageEnvironment:
    """What a browser tells of itself."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    user_agent: Text
    device: Text
    cores: Count
    isolated: bool
    backend: Text
    clock_step_us: Microseconds
    shortest_timing_us: Microseconds

    def facts(self) -> dict[str, str]:
        return {name: printable(str(getattr(self, name))) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The runtime is loaded."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    type: Literal["opened"]
    environment: PageEnvironment
    state: Annotated[Mapping[Annotated[str, Len(1, 40)], Text], Len(0, 10)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A burst."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    type: Literal["timed"]
    id: int
    warmup_ms: Times
    times_ms: Annotated[Times, Len(1)]
    disturbed: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The runtime (id 0) or a burst failed."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    type: Literal["failed"]
    id: int
    error: Annotated[str, Len(0, 100_000)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The page is in the background, where nothing is timed."""

    __pydantic_config__: ClassVar[dict[str, object]] = _STRICT

    type: Literal["waiting"]


Message = Opened | Timed | Failed | Waiting


def parse_message(text: str) -> Message:
    """Raises ValueError for anything else."""
    message: Message = _adapter().validate_json(text)
    return message


def printable(text: str) -> str:
    """On one line, without what a terminal would obey."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


@cache
def _adapter() -> TypeAdapter[Any]:
    from pydantic import Field, TypeAdapter

    return TypeAdapter(Annotated[Message, Field(discriminator="type")])
