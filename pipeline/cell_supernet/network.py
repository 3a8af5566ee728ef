"""The network of cells (arXiv:1806.09055; with partial channels arXiv:1907.05737)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.architecture import Architecture
from pipeline.cell_supernet.cell import Cell
from pipeline.cell_supernet.derived import derived_network
from pipeline.cell_supernet.stem import Stem
from pipeline.cells import KINDS, CellFrame, places
from pipeline.darts_space import DartsCells
from pipeline.graph_space import GraphSpace
from pipeline.space import SearchSpace, SpaceError
from profilers.graph_network import GraphNetwork


class CellSupernet(nn.Module):
    """All networks of stacked cells in one: every candidate of every edge, mixed; cells of a kind mix alike.

    With `partial` K only one of K parts of the channels is mixed, and the others go by. Batch normalisation is affine
    in the stem alone.
    """

    def __init__(self, frame: CellFrame, nodes: int = 4, partial: int = 1) -> None:
        super().__init__()
        if partial < 1 or frame.filters % (2 * partial):
            raise SpaceError(
                f"partial={partial}: {frame.filters} filters do not make {partial} parts of an even number"
            )
        self.partial = partial
        self.edges = nodes * (nodes + 3) // 2  # of a cell
        self.stem = Stem(frame)
        shapes = self.stem.shapes
        inputs = [shape.channels for shape in shapes]
        reduced = shapes[0][:2] != shapes[1][:2]
        self.kinds = [KINDS.index(kind) for kind in frame.kinds]
        self.cells = nn.ModuleList()
        for place in places(frame):
            reduces = place.kind == "reduce"
            self.cells.append(Cell(inputs, place.filters, nodes, partial, reduces=reduces, reduced=reduced))
            inputs, reduced = [inputs[1], nodes * place.filters], reduces
        self.classifier = nn.Linear(inputs[1], frame.classes)

    @staticmethod
    def from_space(space: SearchSpace, partial: int = 1) -> CellSupernet:
        """The supernet of DARTS's space of cells; raises SpaceError for another."""
        if not (isinstance(space, GraphSpace) and isinstance(space.wiring, DartsCells)):
            raise SpaceError(
                f"space {space.name}: not DARTS's space of cells, in which all candidates are computed together; "
                "search it with proxyless or random"
            )
        return CellSupernet(space.wiring.frame, space.wiring.nodes, partial)

    def forward_mixed(self, images: Tensor, mix: Sequence[Tensor], edge_weights: Tensor | None = None) -> Tensor:
        """Logits: [N, C, H, W] -> [N, classes].

        `mix` has a vector over the labels for each decision of the space, in its order: the edges of normal cells, then
        of reduction cells. `edge_weights` [decisions] has a factor for each.
        """
        mixtures = torch.stack([*mix])
        factors = mixtures.new_ones(len(mixtures)) if edge_weights is None else edge_weights
        by_kind = list(zip(torch.split(mixtures, self.edges), torch.split(factors, self.edges), strict=True))
        before, output = self.stem(images)
        before, last = before.relu(), output.relu()
        for cell, kind in zip(self.cells, self.kinds, strict=True):
            output = cell(before, last, *by_kind[kind])
            before, last = last, output.relu()
        return self.classifier(output.mean((2, 3)))  # type: ignore[no-any-return]

    def derived(self, architecture: Architecture) -> GraphNetwork:
        """The network of an architecture, with a copy of the weights that it has in the supernet.

        In the supernet pools are normalised, in networks they are not. Raises SpaceError where channels are partial:
        their weights fit no network.
        """
        return derived_network(self, architecture)
