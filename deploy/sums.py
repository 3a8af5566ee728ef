"""SHA-256 sums of files, as sha256sum(1) writes and reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

SUMS = "SHA256SUMS"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def checksums(digests: Mapping[str, str]) -> str:
    """The text of SHA256SUMS, from the sum of each file."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def folder_files(folder: Path) -> dict[str, bytes]:
    """Contents of every file in a folder, by its path there, with forward slashes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def folder_sha256(files: Mapping[str, bytes]) -> str:
    """What identifies a compiled model that is a folder: the sum of the text that lists the sum of each file."""
    return sha256(checksums({name: sha256(data) for name, data in files.items()}).encode())
