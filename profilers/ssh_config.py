"""The hosts that the user's configuration of ssh names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

_DEPTH = 16  # of files that include one another, as in ssh


def host_names(config: Path, depth: int = _DEPTH) -> tuple[str, ...]:
    """Every name that a Host line gives without a wildcard, in order; none where there is no such file."""
    return tuple(dict.fromkeys(_names(config, depth)))


def _names(config: Path, depth: int) -> Iterator[str]:
    for keyword, values in _lines(config):
        if keyword == "host":
            yield from (name for name in values if not re.search(r"[*?!]", name))
        elif keyword == "include" and depth > 0:
            for pattern in values:
                whole = config.parent / Path(pattern).expanduser()
                for path in sorted(whole.parent.glob(whole.name)):
                    yield from _names(path, depth - 1)


def _lines(config: Path) -> Iterator[tuple[str, list[str]]]:
    """Keywords with their values: `Host a b`, `Host=a`, `Host "a"`."""
    try:
        text = config.read_text(encoding="utf-8", errors="replace")
    except OSError:  # none, or not ours to read: ssh itself goes on without it, too
        return
    for line in text.splitlines():
        found = re.match(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)", line)
        if found:
            yield found[1].lower(), _words(found[2])


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # an open quotation mark, which ssh will tell about
        return []
