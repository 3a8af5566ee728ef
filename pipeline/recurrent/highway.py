"""What the searched and the derived cell compute alike, over whole segments and for training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Generator, Tensor

from pipeline.recurrent.dropout import dropped, mask
from pipeline.recurrent.settings import Dropout
from profilers.recurrent_blocks import EntryBlock

# Weights begin uniform, at this size between -0.04 and 0.04; smaller cells need larger ones to hear their input at all.
_SIZE, _INITIAL = 850, 0.04

State = tuple[Tensor, ...]


def initial_bound(size: int) -> float:
    """What weights of a model of that size begin between, minus this and this."""
    return float(_INITIAL * (_SIZE / size) ** 0.5)


class Cell(Protocol):
    """What turns embedded tokens into states."""

    size: int

    def initial(self, batch: int) -> State:
        """The state before the first token."""

    def __call__(self, x: Tensor, state: State, dropout: Dropout, random: Generator | None) -> tuple[Tensor, State]:
        """Inputs [T, B, size] -> states [T, B, size], and the last one to go on from. Without `random` no dropout."""


def enter(entry: EntryBlock, x: Tensor, dropout: Dropout, random: Generator | None) -> tuple[Tensor, Tensor]:
    """What x [T, B, I] adds to the entry's gates, [T, B, 2 H], at once for all steps; and the matrix for the state."""
    inputs = x.shape[2]
    weight = entry.gates.weight
    entered = dropped(x, mask((x.shape[1], inputs), dropout.cell_input, random)) @ weight[:, :inputs].t()
    return entered, weight[:, inputs:].t()


def blended(gates: Tensor, state: Tensor, act: Callable[[Tensor], Tensor]) -> Tensor:
    """State + sigmoid(c) * (act(g) - state), where gates [..., 2 H] are [c, g]."""
    gate, candidate = gates.chunk(2, dim=-1)
    return torch.lerp(state, act(candidate), gate.sigmoid())
