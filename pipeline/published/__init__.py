"""Networks from papers, as choices in spaces of ours; `millis count` lists them beside their printed figures."""

from __future__ import annotations

from pathlib import Path

from pipeline.architecture import Architecture
from pipeline.published.mobile import MOBILE
from pipeline.published.network import Figure, PublishedNetwork
from pipeline.published.zen import ZEN
from pipeline.space import SpaceError

__all__ = ["PUBLISHED", "Figure", "PublishedNetwork", "load_network"]

PUBLISHED: dict[str, PublishedNetwork] = {**MOBILE, **ZEN}


def load_network(name_or_file: str) -> Architecture:
    """A published network by name, or an architecture file; raises SpaceError for neither, FileError for a bad file."""
    if name_or_file in PUBLISHED:
        return PUBLISHED[name_or_file].architecture()
    path = Path(name_or_file)
    if path.suffix != ".json" and not path.is_file():
        raise SpaceError(f"no network {name_or_file!r}: not a file, and not a published one; {_nearest(name_or_file)}")
    return Architecture.load(path)


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, PUBLISHED, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else "millis count lists those there are"
