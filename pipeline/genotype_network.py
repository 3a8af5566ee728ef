"""The network of one genotype in the frame of DARTS, of whatever edges and output: nothing is left to decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.cells import CellFrame, cell_network
from pipeline.chain import check_least
from pipeline.genotypes import GENOTYPES, Genotype
from pipeline.space import Decision, Rule, SpaceError
from profilers.graph import Graph
from profilers.shape import Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class GenotypeNetwork:
    """DARTS's network for CIFAR as it is evaluated, by default (arXiv:1806.09055); stem stride 8 is ImageNet's."""

    cells: str = "darts-v2"  # a name, or the text of a genotype
    resolution: int = 32
    channels: int = 3
    classes: int = 10
    filters: int = 36
    layers: int = 20
    stem_stride: int = 1

    def __post_init__(self) -> None:
        check_least(self, resolution=1, channels=1, classes=1, filters=2, layers=3)
        _ = genotype_named(self.cells), self.frame

    @property
    def frame(self) -> CellFrame:
        image = Shape(self.resolution, self.resolution, self.channels)
        return CellFrame(image, self.filters, self.layers, self.classes, self.stem_stride)

    def decisions(self) -> tuple[Decision, ...]:
        return ()

    def rules(self) -> tuple[Rule, ...]:
        return ()

    def graph(self, choices: Sequence[int]) -> Graph:
        genotype = genotype_named(self.cells)
        return cell_network(self.frame, genotype.normal, genotype.reduce)


def genotype_named(text: str) -> Genotype:
    """A published genotype by its name, or one in either of its text forms; raises SpaceError."""
    if text in GENOTYPES:
        return GENOTYPES[text]
    if not text.startswith(("{", "Genotype(")):
        raise SpaceError(f"no genotype {text!r}; there are {', '.join(GENOTYPES)}")
    return Genotype.parse(text)
