"""Networks from papers, as choices in spaces of ours; their counts are the published ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.architecture import Architecture
from pipeline.space import SpaceError
from pipeline.spaces import parse_space


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedNetwork:
    """A space and the label of each of its decisions in order, a line per stage."""

    description: str
    space: str
    labels: str

    def architecture(self) -> Architecture:
        space = parse_space(self.space)
        names = [layer.name for layer in space.decisions]
        return Architecture.from_labels(space, dict(zip(names, self.labels.split(), strict=True)))


PUBLISHED: dict[str, PublishedNetwork] = {
    "proxylessnas-mobile": PublishedNetwork(
        description="ProxylessNAS for a phone, Pixel 1 (arXiv:1812.00332)",
        space="proxyless-mobile?widths=32,40,80,96,192,320",
        labels="""
            k5e3 k3e3 identity identity
            k7e3 k3e3 k5e3 k5e3
            k7e6 k5e3 k5e3 k5e3
            k5e6 k5e3 k5e3 k5e3
            k7e6 k7e6 k7e3 k7e3
            k7e6
        """,
    ),
    "proxylessnas-cpu": PublishedNetwork(
        description="ProxylessNAS for a server CPU (arXiv:1812.00332)",
        space="proxyless-mobile?stem=40&first=24&widths=32,48,88,104,216,360&head=1432",
        labels="""
            k3e6 k3e3 k3e3 k3e3
            k3e6 k3e3 k3e3 k5e3
            k3e6 identity identity k3e3
            k5e6 k3e3 k3e3 k3e3
            k5e6 k5e3 k5e3 k3e3
            k5e6
        """,
    ),
    "mobilenet-v2": PublishedNetwork(
        description="MobileNetV2 (arXiv:1801.04381)",
        space="proxyless-mobile?widths=24,32,64,96,160,320&depths=2,3,4,3,3,1",
        labels="""
            k3e6 k3e6
            k3e6 k3e6 k3e6
            k3e6 k3e6 k3e6 k3e6
            k3e6 k3e6 k3e6
            k3e6 k3e6 k3e6
            k3e6
        """,
    ),
}


def load_network(name_or_file: str) -> Architecture:
    """A published network by name, or an architecture file; raises SpaceError for neither, FileError for a bad file."""
    if name_or_file in PUBLISHED:
        return PUBLISHED[name_or_file].architecture()
    path = Path(name_or_file)
    if path.suffix != ".json" and not path.is_file():
        raise SpaceError(f"no network {name_or_file!r}: not a file, and the published ones are {', '.join(PUBLISHED)}")
    return Architecture.load(path)
