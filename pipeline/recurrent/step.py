"""One step of a trained model, token and state to logits and state: what a keyboard runs for every key."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

from pipeline.recurrent.cell import DartsCell, LstmCell
from pipeline.recurrent.language_model import LanguageModel
from profilers.recurrent_blocks import MeanBlock


class DartsStep(nn.Module):
    """[1, H] of a token and the state [1, H] -> the next state; made of the blocks that are profiled."""

    def __init__(self, cell: DartsCell) -> None:
        super().__init__()
        self.entry, self.nodes, self.mean = cell.entry, cell.nodes, MeanBlock()
        self.reads = tuple(node.reads for node in cell.genotype.nodes)
        self.concat = cell.genotype.concat

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor]:
        states = [self.entry(x, h)]
        for node, reads in zip(self.nodes, self.reads, strict=True):
            states.append(node(states[reads]))
        return (self.mean(*(states[i] for i in self.concat)),)


class LstmStep(nn.Module):
    """[1, H] of a token and the states [1, H] of an LSTM -> the next ones."""

    def __init__(self, cell: LstmCell) -> None:
        super().__init__()
        of_input, of_state, input_bias, state_bias = (each.detach() for each in cell.lstm.parameters())
        self.gates = nn.Linear(2 * cell.size, 4 * cell.size)
        with torch.no_grad():
            self.gates.weight.copy_(torch.cat([of_input, of_state], dim=1))
            self.gates.bias.copy_(input_bias + state_bias)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        entered, kept, candidate, told = self.gates(torch.cat([x, h], dim=1)).chunk(4, dim=1)
        c = kept.sigmoid() * c + entered.sigmoid() * candidate.tanh()
        return told.sigmoid() * c.tanh(), c


class StepModel(nn.Module):
    """Token int32 [1, 1] and state [1, H] each -> logits [1, V] and the next state. Embedding and decoder are one."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        cell = model.cell
        self.step = LstmStep(cell) if isinstance(cell, LstmCell) else DartsStep(cast(DartsCell, cell))
        self.embedding, self.bias = model.embedding, model.bias

    def forward(self, token: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        state = self.step(embedding(token.flatten(), self.embedding), *state)
        return linear(state[0], self.embedding, self.bias), *state


class PackedStep(nn.Module):
    """The same in one input and one output, as files are timed: [1, 1 + S H, 1, 1] -> [1, V + S H]."""

    def __init__(self, step: StepModel, states: int) -> None:
        super().__init__()
        self.step, self.states = step, states

    def forward(self, packed: Tensor) -> Tensor:
        given = packed.flatten(1)
        number = given[:, :1].abs().to(torch.int32).clamp(max=len(self.step.embedding) - 1)
        size = self.step.embedding.shape[1]
        states = [given[:, 1 + i * size : 1 + (i + 1) * size] for i in range(self.states)]
        return torch.cat(self.step(number, *states), dim=1)
