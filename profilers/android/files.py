"""Files on a phone, brought there once: their name is the hash of their content, and half a file never has it."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import dataclass, field
from pathlib import Path

from profilers.android.adb_link import AdbLink
from profilers.errors import DeviceLostError

FOLDER = "/data/local/tmp/millis"


@dataclass(frozen=True, slots=True)
class PhoneFiles:
    """What is known to lie whole on a phone."""

    link: AdbLink
    _places: dict[str, str] = field(default_factory=dict)  # hash -> place

    def place(self, path: Path, sha256: str, suffix: str) -> str:
        """Where a file of this machine lies on the phone, which gets it unless it has it."""
        if sha256 not in self._places:
            place = f"{FOLDER}/{sha256}{suffix}"
            if not self._is_whole(place, path, sha256):
                self._bring(path, sha256, place)
            self._places[sha256] = place
        return self._places[sha256]

    def digest(self, place: str) -> str:
        """The hash of a file on the phone; its size where the phone has no sha256sum, nothing where it has no file."""
        place = shlex.quote(place)
        _, told = self.link.shell(f"[ -f {place} ] && {{ sha256sum {place} 2>/dev/null || wc -c < {place}; }}")
        return "".join(told.split()[:1])

    def _bring(self, path: Path, sha256: str, place: str) -> None:
        part = f"{FOLDER}/{secrets.token_hex(8)}.part"
        self.link.require("mkdir", "-p", FOLDER)
        self.link.shell(f"rm -f {FOLDER}/*.part")  # of links that broke
        self.link.push(path, part)
        if not self._is_whole(part, path, sha256):
            raise DeviceLostError(f"{self.link}: {path.name} did not arrive whole")
        self.link.require("mv", part, place)

    def _is_whole(self, place: str, path: Path, sha256: str) -> bool:
        return self.digest(place) in (sha256, str(path.stat().st_size))
