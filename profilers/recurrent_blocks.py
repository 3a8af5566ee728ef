"""The `nn.Module`s behind the recurrent operations. Each takes [N, C] or, compiled alone, [N, C, 1, 1]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from profilers.recurrent_ops import CellActivation

ACTIVATIONS: dict[CellActivation, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


def blend(state: Tensor, gates: Tensor, act: CellActivation) -> Tensor:
    """State + sigmoid(c) * (act(g) - state), where gates [..., 2 H] are [c, g]."""
    gate, candidate = gates.chunk(2, dim=-1)
    return state + gate.sigmoid() * (ACTIVATIONS[act](candidate) - state)


class MeanBlock(nn.Module):
    """The mean of `recurrent_ops.Mean`: tensors [N, H] -> [N, H]."""

    def forward(self, *states: Tensor) -> Tensor:
        # One concatenation and one mean: of the ways to write it, the one with the fewest kernels.
        return torch.cat(states, dim=1).view(-1, len(states), states[0].shape[1]).mean(1)


class HighwayBlock(nn.Module):
    """The node of `recurrent_ops.Highway`."""

    def __init__(self, hidden: int, act: CellActivation) -> None:
        super().__init__()
        self.act = act
        self.gates = nn.Linear(hidden, 2 * hidden, bias=False)

    def forward(self, state: Tensor) -> Tensor:
        state = state.flatten(1)
        return blend(state, self.gates(state), self.act)


class EntryBlock(nn.Module):
    """The entry of `recurrent_ops.Entry`: [N, I + H], or [N, I] and [N, … + H] -> [N, H]."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Linear(inputs + hidden, 2 * hidden, bias=False)

    def forward(self, *given: Tensor) -> Tensor:
        x, last = given[0].flatten(1), given[-1].flatten(1)
        state = last[:, -self.hidden :]
        both = x if len(given) == 1 else torch.cat([x, state], dim=1)
        return blend(state, self.gates(both), "tanh")


class EmbedBlock(nn.Module):
    """The embedding of `recurrent_ops.Embed`: the first of floats [N, C], cut to a token's number -> [N, H]."""

    def __init__(self, vocab: int, out: int) -> None:
        super().__init__()
        self.rows = nn.Embedding(vocab, out)

    def forward(self, token: Tensor) -> Tensor:
        number = token.flatten(1)[:, 0].abs().to(torch.int32)
        return self.rows(number.clamp(max=self.rows.num_embeddings - 1))  # type: ignore[no-any-return]


class DecodeBlock(nn.Module):
    """The decoder of `recurrent_ops.Decode`."""

    def __init__(self, hidden: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, out)

    def forward(self, state: Tensor) -> Tensor:
        return self.linear(state.flatten(1))  # type: ignore[no-any-return]
