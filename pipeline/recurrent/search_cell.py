"""The cell of the search: every edge a mixture of all activations (arXiv:1806.09055, section 3.2)."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from pipeline.recurrent.cell import DartsCell
from pipeline.recurrent.dropout import dropped, mask
from pipeline.recurrent.edges import LABELS, edge, edge_count
from pipeline.recurrent.genotype import Genotype
from pipeline.recurrent.highway import State, blended, enter, initial_bound
from pipeline.recurrent.settings import Dropout
from profilers.recurrent_blocks import EntryBlock


class SearchCell(nn.Module):
    """Node i is the normalised sum over its edges of mixtures over activations; the edges of a node share its weights.

    `mixture` [E, 5] is what the next call mixes by; each state is normalised by statistics of its own. The mean is of
    the nodes in `concat`, by default of all.
    """

    def __init__(self, size: int, nodes: int = 8, concat: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.size = size
        self.places = [i - 1 for i in concat or range(1, nodes + 1)]
        self.mixture = torch.full((edge_count(nodes), len(LABELS)), 1 / len(LABELS))
        self.entry = EntryBlock(size, size)
        self.weight = nn.Parameter(torch.empty(nodes, size, 2 * size))
        self.norms = nn.ModuleList(nn.BatchNorm1d(size, affine=False) for _ in range(1 + nodes))
        bound = initial_bound(size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def initial(self, batch: int) -> State:
        return (torch.zeros(batch, self.size),)

    def forward(self, x: Tensor, state: State, dropout: Dropout, random: Generator | None) -> tuple[Tensor, State]:
        """As `highway.Cell`."""
        (h,) = state
        entered, of_state = enter(self.entry, x, dropout, random)
        kept = mask((len(h), self.size), dropout.state, random)
        # Cut once for all steps: every cut would add a gradient as large as all weights.
        leaving = [(self.weight[reads:], self._leaving(reads)) for reads in range(len(self.weight))]
        outputs = []
        for step in entered:
            first = self.norms[0](blended(torch.addmm(step, dropped(h, kept), of_state), h, torch.tanh))
            h = self._mean_of_nodes(first, leaving, kept)
            outputs.append(h)
        return torch.stack(outputs), (h.detach(),)

    def _leaving(self, reads: int) -> Tensor:
        """The mixtures of all edges that leave a state, [5, n, 1, 1]."""
        rows = [edge(node, reads) for node in range(reads + 1, len(self.weight) + 1)]
        return self.mixture[rows].t()[:, :, None, None]

    def _mean_of_nodes(self, state: Tensor, leaving: list[tuple[Tensor, Tensor]], kept: Tensor | None) -> Tensor:
        """All edges that leave one state are computed at once: [n, B, H], added up until their node is complete."""
        nodes: list[Tensor] = []
        pending = state.new_zeros(())
        for norm, (weight, mixture) in zip(self.norms[1:], leaving, strict=True):
            sums = _mixed(state, torch.matmul(dropped(state, kept), weight), mixture)
            pending = pending[1:] + sums if nodes else sums
            state = norm(pending[0])
            nodes.append(state)
        return torch.stack([nodes[place] for place in self.places]).mean(0)

    def derived(self, genotype: Genotype) -> DartsCell:
        """The cell of a genotype with a copy of these weights, without normalisation."""
        cell = DartsCell(genotype, self.size)
        with torch.no_grad():
            cell.entry.load_state_dict(self.entry.state_dict())
            for block, weight in zip(cell.nodes, self.weight, strict=True):
                block.gates.weight.copy_(weight.t())  # type: ignore[union-attr, operator]
        return cell


def _mixed(state: Tensor, gates: Tensor, mixture: Tensor) -> Tensor:
    """The sum over activations f of p_f (s + sigmoid(c) (f(g) - s)): [n, B, H]; what s gets in all is taken out."""
    gate, g = gates.chunk(2, dim=-1)
    _, tanh, relu, sigmoid, identity = mixture
    answers = tanh * g.tanh() + relu * g.relu() + sigmoid * g.sigmoid() + identity * g
    return torch.lerp((tanh + relu + sigmoid + identity) * state, answers, gate.sigmoid())
