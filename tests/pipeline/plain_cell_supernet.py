"""The DARTS cell supernet written plainly, as the papers do: every candidate of every edge a module, a loop over all.

What `pipeline.cell_supernet` computes is compared with this, and so are its time and memory (arXiv:1806.09055, and
arXiv:1907.05737 for partial channels).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import channel_shuffle, pad

from pipeline.cell_supernet import CellSupernet
from pipeline.cell_supernet.cell import Halving


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, affine=False)


def relu_conv_norm(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), nn.Conv2d(inputs, outputs, 1, bias=False), norm(outputs))


def depthwise(channels: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """ReLU, a depthwise and a pointwise convolution, batch normalisation."""
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.ReLU(),
        nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False),
        nn.Conv2d(channels, channels, 1, bias=False),
        norm(channels),
    )


class Zero(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0


class FactorizedReduce(nn.Module):
    """Half the channels from the even pixels, half from the odd ones."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, 2, bias=False)
        self.norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.relu()
        odd = pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(odd)], dim=1))  # type: ignore[no-any-return]


def candidates(channels: int, stride: int) -> nn.ModuleList:
    average = nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    return nn.ModuleList(
        [
            Zero(stride),
            nn.Sequential(nn.MaxPool2d(3, stride, 1), norm(channels)),
            nn.Sequential(average, norm(channels)),
            nn.Identity() if stride == 1 else FactorizedReduce(channels, channels),
            nn.Sequential(depthwise(channels, 3, stride=stride), depthwise(channels, 3)),
            nn.Sequential(depthwise(channels, 5, stride=stride), depthwise(channels, 5)),
            depthwise(channels, 3, stride=stride, dilation=2),
            depthwise(channels, 5, stride=stride, dilation=2),
        ]
    )


class Edge(nn.Module):
    """A mixture of all candidates on the first of `partial` parts of the channels; the rest goes by."""

    def __init__(self, channels: int, stride: int, partial: int) -> None:
        super().__init__()
        self.partial = partial
        self.candidates = candidates(channels // partial, stride)
        self.bypass = nn.MaxPool2d(2, 2, ceil_mode=True) if stride == 2 else nn.Identity()

    def forward(self, x: Tensor, mix: Tensor) -> Tensor:
        width = x.shape[1] // self.partial
        outputs = [weight * candidate(x[:, :width]) for weight, candidate in zip(mix, self.candidates, strict=True)]
        mixed = sum(outputs[1:], outputs[0])
        if self.partial > 1:
            mixed = channel_shuffle(torch.cat([mixed, self.bypass(x[:, width:])], dim=1), self.partial)
        return mixed  # type: ignore[no-any-return]


class Cell(nn.Module):
    def __init__(
        self, inputs: tuple[int, int], channels: int, nodes: int, partial: int, *, reduces: bool, reduced: bool
    ) -> None:
        super().__init__()
        before, last = inputs
        self.nodes = nodes
        self.before = FactorizedReduce(before, channels) if reduced else relu_conv_norm(before, channels)
        self.last = relu_conv_norm(last, channels)
        strides = (2 if reduces and state < 2 else 1 for node in range(nodes) for state in range(2 + node))
        self.edges = nn.ModuleList(Edge(channels, stride, partial) for stride in strides)

    def forward(self, before: Tensor, last: Tensor, mix: Sequence[Tensor], factors: Tensor) -> Tensor:
        states = [self.before(before), self.last(last)]
        edges = zip(self.edges, mix, factors, strict=True)
        for _ in range(self.nodes):
            arriving = [next(edges) for _ in states]
            terms = [factor * edge(x, row) for x, (edge, row, factor) in zip(states, arriving, strict=True)]
            states.append(sum(terms[1:], terms[0]))
        return torch.cat(states[2:], dim=1)


class PlainCellSupernet(nn.Module):
    def __init__(
        self,
        channels: int = 16,
        cells: int = 8,
        classes: int = 10,
        *,
        nodes: int = 4,
        partial: int = 1,
        image_channels: int = 3,
    ) -> None:
        super().__init__()
        self.edges = sum(2 + node for node in range(nodes))
        self.reductions = cells // 3, 2 * cells // 3
        before = last = 3 * channels
        conv = nn.Conv2d(image_channels, last, 3, padding=1, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(last, eps=1e-3))
        self.cells = nn.ModuleList()
        for place in range(cells):
            reduces, reduced = place in self.reductions, place - 1 in self.reductions
            channels *= 2 if reduces else 1
            self.cells.append(Cell((before, last), channels, nodes, partial, reduces=reduces, reduced=reduced))
            before, last = last, nodes * channels
        self.classifier = nn.Linear(last, classes)

    def forward_mixed(self, images: Tensor, mix: Sequence[Tensor], edge_weights: Tensor | None = None) -> Tensor:
        """As that of `CellSupernet`."""
        factors = torch.ones(2 * self.edges, dtype=images.dtype) if edge_weights is None else edge_weights
        before = last = self.stem(images)
        for place, cell in enumerate(self.cells):
            of_kind = slice(self.edges, None) if place in self.reductions else slice(self.edges)
            before, last = last, cell(before, last, mix[of_kind], factors[of_kind])
        return self.classifier(last.mean((2, 3)))  # type: ignore[no-any-return]


@torch.no_grad()
def copy_weights(plain: PlainCellSupernet, fast: CellSupernet) -> None:
    """Give both the same weights."""
    fast.stem[0].load_state_dict(plain.stem.state_dict())
    fast.classifier.load_state_dict(plain.classifier.state_dict())
    for theirs, mine in zip(plain.cells, fast.cells, strict=True):
        _copy_cell(theirs, mine)


def _copy_cell(theirs: Any, mine: Any) -> None:
    mine.last[0].weight.copy_(theirs.last[1].weight)
    if isinstance(mine.before, Halving):
        mine.before.even.weight.copy_(theirs.before.even.weight)
        mine.before.odd.weight.copy_(theirs.before.odd.weight)
    else:
        mine.before[0].weight.copy_(theirs.before[1].weight)
    for state, edges in zip(mine.states, mine.leaving, strict=True):
        for edge, place in enumerate(edges):
            _copy_edge(theirs.edges[place].candidates, state, edge)


def _copy_edge(plain: Any, state: Any, edge: int) -> None:
    channels = slice(edge * state.channels, (edge + 1) * state.channels)
    if state.stride == 2:
        state.halves[edge] = plain[3].even.weight[:, :, 0, 0]
        state.halves[state.edges + edge] = plain[3].odd.weight[:, :, 0, 0]
    for kernel in range(2):
        first, second = plain[4 + kernel]
        dilated = plain[6 + kernel]
        state.separable[kernel][channels] = first[1].weight
        state.between[2 * edge + kernel] = first[2].weight[:, :, 0, 0]
        state.second[kernel][channels] = second[1].weight
        state.last[2 * edge + kernel] = second[2].weight[:, :, 0, 0]
        state.dilated[kernel][channels] = dilated[1].weight
        state.last[2 * (state.edges + edge) + kernel] = dilated[2].weight[:, :, 0, 0]
