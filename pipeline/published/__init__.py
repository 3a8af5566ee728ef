"""Networks from papers, as choices in spaces of ours; `millis count` lists them beside their printed figures."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path

from pipeline.architecture import Architecture
from pipeline.genotypes import Genotype
from pipeline.published.cells import CELLS
from pipeline.published.mobile import MOBILE
from pipeline.published.network import Figure, PublishedNetwork
from pipeline.published.recurrent import RECURRENT
from pipeline.published.zen import ZEN
from pipeline.space import SpaceError
from pipeline.spaces import SPACES, parse_space
from profilers.errors import FileError
from profilers.files import read_text

__all__ = ["PUBLISHED", "Figure", "PublishedNetwork", "load_network", "published_network"]

PUBLISHED: dict[str, PublishedNetwork] = {**MOBILE, **CELLS, **ZEN, **RECURRENT}


def published_network(name: str) -> PublishedNetwork:
    """The published network of that name; raises SpaceError telling the nearest."""
    if name not in PUBLISHED:
        raise SpaceError(f"no published network {name!r}; {_nearest(name)}")
    return PUBLISHED[name]


def load_network(text: str) -> Architecture:
    """A published network by name, a space that leaves nothing to decide, an architecture file or one of a genotype.

    A genotype is put into DARTS's network for CIFAR as it is evaluated. Raises SpaceError for none of them, FileError
    for a bad file.
    """
    if text in PUBLISHED:
        return PUBLISHED[text].architecture()
    if text.partition("?")[0] in SPACES:
        return _only_network(text)
    path = Path(text)
    if path.suffix != ".json" and not path.is_file():
        raise SpaceError(f"no network {text!r}: not a file, and not a published one; {_nearest(text)}")
    content = read_text(path, kind="architecture")
    if content.lstrip().startswith("Genotype(") or '"normal_concat"' in content:
        return _network_of_genotype(path, content)
    return Architecture.load(path)


def _only_network(text: str) -> Architecture:
    space = parse_space(text)
    if space.decisions:
        raise SpaceError(f"space {text}: leaves {len(space.decisions)} decisions open; give an architecture file")
    return Architecture(space, ())


def _network_of_genotype(path: Path, content: str) -> Architecture:
    try:
        return _only_network(f"genotype?cells={Genotype.parse(content).json()}")
    except SpaceError as error:
        raise FileError(f"{path}: {error}") from None


def _nearest(name: str) -> str:
    near = get_close_matches(name, PUBLISHED, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else "millis count lists those there are"
