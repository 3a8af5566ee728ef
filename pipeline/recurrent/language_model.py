"""A language model around a cell: the decoder's weights are those of the embedding (arXiv:1608.05859)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Generator, Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear

from pipeline.recurrent.dropout import dropped, mask
from pipeline.recurrent.highway import Cell, State, initial_bound
from pipeline.recurrent.segments import cut, equal_segments
from pipeline.recurrent.settings import Dropout

EVALUATION_LENGTH = 64  # of a segment; it changes no result


@dataclass(frozen=True, slots=True)
class Read:
    """What a model makes of a segment: logits [T, B, V], and the cell's states before and after dropout."""

    logits: Tensor
    states: Tensor
    dropped: Tensor


class LanguageModel(nn.Module):
    """Logits of the next token, for every token of a segment."""

    def __init__(self, vocab: int, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell
        bound = initial_bound(self.recurrent.size)
        self.embedding = nn.Parameter(torch.empty(vocab, self.recurrent.size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.zeros(vocab))

    @property
    def recurrent(self) -> Cell:
        return cast(Cell, self.cell)

    def forward(self, tokens: Tensor, state: State, dropout: Dropout, random: Generator | None) -> tuple[Read, State]:
        """Tokens [T, B] and a state -> what it reads, and the state to go on from. Without `random` no dropout."""
        rows = dropped(self.embedding, mask((len(self.embedding), 1), dropout.rows, random))
        x = embedding(tokens, rows)
        x = dropped(x, mask((x.shape[1], x.shape[2]), dropout.embedded, random))
        states, state = self.recurrent(x, state, dropout, random)
        kept = dropped(states, mask((states.shape[1], states.shape[2]), dropout.output, random))
        return Read(linear(kept, self.embedding, self.bias), states, kept), state


def token_loss(read: Read, targets: Tensor) -> Tensor:
    """Mean cross entropy of targets [T, B], nats a token."""
    return cross_entropy(read.logits.flatten(0, 1), targets.flatten())


def regularised(loss: Tensor, read: Read, *, activity: float, slowness: float) -> Tensor:
    """The loss with the squares of states, and of their differences from one step to the next (arXiv:1708.01009)."""
    if activity:
        loss = loss + activity * read.dropped.square().mean()
    if slowness and len(read.states) > 1:
        loss = loss + slowness * (read.states[1:] - read.states[:-1]).square().mean()
    return loss


@torch.no_grad()
def evaluate(model: LanguageModel, text: Tensor) -> float:
    """Mean cross entropy over a text [T, B], nats a token, the state carried from its beginning to its end."""
    was_training = model.training
    model.eval()
    state = model.recurrent.initial(text.shape[1])
    total = 0.0
    for segment in equal_segments(len(text), EVALUATION_LENGTH):
        tokens, targets = cut(text, segment)
        read, state = model(tokens, state, Dropout(), None)
        total += float(token_loss(read, targets)) * segment.length
    model.train(was_training)
    return total / (len(text) - 1)
