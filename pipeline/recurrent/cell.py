"""The cell of a genotype (arXiv:1806.09055, section 3.2), and an LSTM to compare it with."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Generator, Tensor, nn

from pipeline.recurrent.dropout import dropped, mask
from pipeline.recurrent.genotype import Genotype
from pipeline.recurrent.highway import State, blended, enter, initial_bound
from pipeline.recurrent.settings import Dropout
from profilers.recurrent_blocks import ACTIVATIONS, EntryBlock, HighwayBlock


class DartsCell(nn.Module):
    """A recurrent highway whose nodes read and answer as the genotype says. No biases."""

    def __init__(self, genotype: Genotype, size: int) -> None:
        super().__init__()
        self.genotype, self.size = genotype, size
        self.entry = EntryBlock(size, size)
        self.nodes = nn.ModuleList(HighwayBlock(size, node.act) for node in genotype.nodes)
        bound = initial_bound(size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def initial(self, batch: int) -> State:
        return (torch.zeros(batch, self.size),)

    def forward(self, x: Tensor, state: State, dropout: Dropout, random: Generator | None) -> tuple[Tensor, State]:
        """As `highway.Cell`. The nodes that read one state are one product of matrices."""
        (h,) = state
        entered, of_state = enter(self.entry, x, dropout, random)
        kept = mask((len(h), self.size), dropout.state, random)
        joined = {
            reads: torch.cat([self.nodes[i - 1].gates.weight for i in readers]).t()  # type: ignore[union-attr, misc]
            for reads, readers in self._readers().items()
        }
        outputs = []
        for step in entered:
            h = self._step(step, h, of_state, joined, kept)
            outputs.append(h)
        return torch.stack(outputs), (h.detach(),)

    def _step(
        self, entered: Tensor, h: Tensor, of_state: Tensor, joined: dict[int, Tensor], kept: Tensor | None
    ) -> Tensor:
        states = {0: blended(torch.addmm(entered, dropped(h, kept), of_state), h, torch.tanh)}
        for reads, readers in self._readers().items():
            source = states[reads]
            gates = dropped(source, kept) @ joined[reads]
            for i, each in zip(readers, gates.chunk(len(readers), dim=1), strict=True):
                states[i] = blended(each, source, ACTIVATIONS[self.genotype.nodes[i - 1].act])
        return torch.stack([states[i] for i in self.genotype.concat]).mean(0)

    def _readers(self) -> dict[int, list[int]]:
        """State -> the nodes that read it; a node comes after the state it reads."""
        readers: dict[int, list[int]] = {}
        for i, node in enumerate(self.genotype.nodes, 1):
            readers.setdefault(node.reads, []).append(i)
        return dict(sorted(readers.items()))


class LstmCell(nn.Module):
    """PyTorch's LSTM under the same dropout: its state's falls on the weights of the state (arXiv:1708.02182)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.lstm = nn.LSTM(size, size)

    def initial(self, batch: int) -> State:
        return (torch.zeros(batch, self.size), torch.zeros(batch, self.size))

    def forward(self, x: Tensor, state: State, dropout: Dropout, random: Generator | None) -> tuple[Tensor, State]:
        """As `highway.Cell`."""
        x = dropped(x, mask((x.shape[1], self.size), dropout.cell_input, random))
        of_input, of_state, *biases = self.lstm.parameters()
        weights = [of_input, dropped(of_state, mask(tuple(of_state.shape), dropout.state, random)), *biases]
        given = tuple(part[None] for part in state)
        outputs, h, c = torch.lstm(x, given, weights, True, 1, 0.0, self.training, False, False)
        return outputs, (h[0].detach(), c[0].detach())


def lstm_params(vocab: int, size: int) -> int:
    """Trainable scalars of a language model of one LSTM layer with tied weights."""
    return 8 * size * size + 8 * size + vocab * size + vocab


def lstm_size(vocab: int, params: int) -> int:
    """The size of the LSTM whose language model has as many trainable scalars, to the nearest."""
    linear = 8 + vocab
    exact = (sqrt(linear * linear + 32 * (params - vocab)) - linear) / 16
    return min((int(exact), int(exact) + 1), key=lambda size: abs(lstm_params(vocab, size) - params))
