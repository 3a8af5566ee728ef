"""Names of files in a bundle: such as every system can hold, and no two that are one file on some of them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

LONGEST = 200  # characters; Windows takes 260 with the folders around them

# What Windows has for devices, with anything after a dot; and what it does not allow in names, or cuts off.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE)
_NOT_ALLOWED = re.compile(r'[<>"|?*]|[. ](/|$)')


def problems_of(names: Iterable[str]) -> list[str]:
    """A sentence for each name that may not stand in a bundle, or else for names that cannot stand in it together."""
    names = list(names)
    unsafe = [f"{name!r} {reason}" for name in names if (reason := unsafe_name(name))]
    return unsafe or list(dict.fromkeys(_clashes(names)))


def unsafe_name(name: str) -> str | None:
    """Why a name may not stand in a bundle, or None: only plain relative paths with forward slashes may."""
    parts = name.split("/")
    if name.startswith("/") or ":" in name or "\\" in name or not name.isprintable():
        return "is not a plain relative path"
    if any(part in {"", ".", ".."} for part in parts):
        return "leads outside the bundle or is not in its shortest form"
    if len(name) > LONGEST:
        return f"has more than {LONGEST} characters"
    if _NOT_ALLOWED.search(name) or any(map(_DEVICE.fullmatch, parts)):
        return "is no name for a file on Windows"
    return None


def _clashes(names: Iterable[str]) -> Iterator[str]:
    """Of safe names and the folders that they stand in."""
    files: set[str] = set()
    spelled: dict[str, str] = {}
    for name in names:
        if name in files:
            yield f"{name!r} stands in it twice"
        files.add(name)
        for path in _upwards(name):
            first = spelled.setdefault(_folded(path), path)
            if first != path:
                yield f"{first!r} and {path!r} are one file on macOS or Windows"
    folders = {folder for name in files for folder in list(_upwards(name))[1:]}
    yield from (f"{name!r} is both a file and a folder" for name in sorted(files & folders))


def _upwards(name: str) -> Iterator[str]:
    """A path and the folders above it."""
    while name:
        yield name
        name = name.rpartition("/")[0]


def _folded(name: str) -> str:
    """As file systems see it that tell neither upper case from lower nor one way to compose a letter from another."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
