"""What a machine has, what it lacks, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that `millis doctor` looks at."""

    name: str  # what it serves: "profile over ssh"
    ok: bool
    found: str  # what is there, or what is not
    mend: str = ""  # the command that mends it

    def __post_init__(self) -> None:
        if not self.ok and not self.mend:
            raise ValueError(f"{self.name}: a failed check says what mends it")
