"""One cell: two states from the cells before it, then nodes that are sums of mixtures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn.functional import channel_shuffle, max_pool2d

from pipeline.cell_supernet.norms import norm
from pipeline.cell_supernet.state import State, even_pixels, odd_pixels


class Cell(nn.Module):
    """`inputs` are the channels of the two cells before; `reduced` tells that the nearer one halved the image."""

    def __init__(
        self, inputs: Sequence[int], channels: int, nodes: int, partial: int, *, reduces: bool, reduced: bool
    ) -> None:
        super().__init__()
        before, last = inputs
        self.before = Halving(before, channels) if reduced else pointwise(before, channels)
        self.last = pointwise(last, channels)
        self.nodes, self.partial, self.reduces = nodes, partial, reduces
        self.part = channels // partial
        # The places of the edges that leave each state, node by node; the edges into a node follow one another.
        firsts = list(accumulate(range(2, nodes + 1), initial=0))
        self.leaving = [[first + state for first in firsts[max(0, state - 1) : nodes]] for state in range(nodes + 1)]
        self.states = nn.ModuleList(
            State(self.part, len(edges), stride=2 if reduces and state < 2 else 1)
            for state, edges in enumerate(self.leaving)
        )

    def forward(self, before: Tensor, last: Tensor, mix: Tensor, factors: Tensor) -> Tensor:
        """Two images without negative numbers, mix [edges, labels], factors [edges] -> [N, nodes * C, H', W']."""
        mix = mix * factors.unsqueeze(-1)
        states = [self.before(before), self.last(last)]
        passing: list[Tensor | int] = [0] * self.nodes
        carry, offset = None, mix.new_zeros(())
        for place, (state, edges) in enumerate(zip(self.states, self.leaving, strict=True)):
            x = states[place]
            mixed = x if self.partial == 1 else x[:, : self.part].contiguous(memory_format=torch.channels_last)
            carry, further = state(mixed, mix[edges], carry)
            offset = offset + further
            if self.partial > 1:
                self._pass_by(passing, place, x[:, self.part :], factors)
            if place > 0:  # with the mixtures of this state a node is complete
                sizes = [self.part, (len(edges) - 1) * self.part]
                (node, carry), (shift, offset) = carry.split(sizes, 1), offset.split(sizes)
                states.append(self._node(node + shift[:, None, None], passing[place - 1]))
        return torch.cat(states[2:], dim=1)

    def _node(self, mixed: Tensor, passed: Tensor | int) -> Tensor:
        return mixed if isinstance(passed, int) else channel_shuffle(torch.cat([mixed, passed], dim=1), self.partial)

    def _pass_by(self, passing: list[Tensor | int], place: int, rest: Tensor, factors: Tensor) -> None:
        """Add the channels that go by the edges of a state to what has come to the nodes."""
        if self.reduces and place < 2:
            rest = max_pool2d(rest, 2, 2, ceil_mode=True)
        edges = self.leaving[place]
        for node, edge in zip(range(self.nodes - len(edges), self.nodes), edges, strict=True):
            passing[node] = passing[node] + factors[edge] * rest


def pointwise(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), norm(outputs))


class Halving(nn.Module):
    """Half the size: half of the channels from even pixels, half from odd ones."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even, self.odd = (nn.Conv2d(inputs, outputs // 2, 1, bias=False) for _ in range(2))
        self.norm = norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        halves = self.even(even_pixels(x)), self.odd(odd_pixels(x))
        return self.norm(torch.cat(halves, dim=1))  # type: ignore[no-any-return]
