"""What stands before the first cell."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.cells import CellFrame
from profilers.graph import Drawing


class Stem(nn.ModuleList):
    """The modules of a frame's stem, in order; `shapes` are those of the two states that the first cell reads."""

    def __init__(self, frame: CellFrame) -> None:
        drawing = Drawing(frame.image)
        outputs = frame.draw_stem(drawing)
        super().__init__(node.op.module() for node in drawing.nodes)
        self.inputs = [node.inputs[0] for node in drawing.nodes]
        self.outputs = outputs
        self.shapes = [drawing.shape(place) for place in outputs]

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """[N, C, H, W] -> states 0 and 1 of the first cell."""
        given = {-1: images.contiguous(memory_format=torch.channels_last)}
        for place, (module, source) in enumerate(zip(self, self.inputs, strict=True)):
            given[place] = module(given[source])
        before, last = self.outputs
        return given[before], given[last]
