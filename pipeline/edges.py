"""How much each edge counts among those that enter a node: the edge normalisation of PC-DARTS (arXiv:1907.05737)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.space import SearchSpace


@dataclass(frozen=True, slots=True)
class Edges:
    """beta: [L], one number for each decision; members: [R, L], true where a decision is an edge into node R."""

    beta: Tensor
    members: Tensor

    @staticmethod
    def initial(space: SearchSpace, generator: torch.Generator) -> Edges:
        """Near uniform, as alpha; the edges into a node are those that a rule of the space is about."""
        members = torch.zeros(len(space.rules), len(space.decisions), dtype=torch.bool)
        for node, rule in enumerate(space.rules):
            members[node, list(rule.decisions)] = True
        beta = 1e-3 * torch.randn(len(space.decisions), generator=generator)
        return Edges(beta.requires_grad_(), members)

    def shares(self) -> Tensor:
        """Softmax over the edges into each node: [L], summing to one for each node."""
        return self.beta.expand(self.members.shape).masked_fill(~self.members, -torch.inf).softmax(dim=1).sum(0)
