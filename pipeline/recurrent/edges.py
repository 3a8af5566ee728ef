"""The edges of a cell: their mixtures, and what these say about nodes."""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.derivation import LogProbability
from pipeline.recurrent.genotype import ACTIVATIONS
from pipeline.space import SearchSpace

# The columns of a mixture. What `none` gets is lost.
LABELS = ("none", *ACTIVATIONS)


def edge_count(nodes: int) -> int:
    return nodes * (nodes + 1) // 2


def edge(node: int, reads: int) -> int:
    """The row of the edge from state `reads` to node `node`, which counts from 1."""
    return node * (node - 1) // 2 + reads


def initial_alpha(nodes: int, random: torch.Generator) -> Tensor:
    """Near uniform, [E, 5]."""
    return (1e-3 * torch.randn(edge_count(nodes), len(LABELS), generator=random)).requires_grad_()


def choice_probability(mixture: Tensor, nodes: int) -> Tensor:
    """Mixtures of edges [E, 5] -> probability of each label of each node, [nodes, 4 nodes], zeros where there is none.

    A node is one edge with one activation, so what its mixtures give to all of these, `none` left out, sums to one.
    """
    rows = []
    for node in range(1, nodes + 1):
        shares = mixture[edge(node, 0) : edge(node + 1, 0), 1:].flatten()
        rows.append(torch.nn.functional.pad(shares / shares.sum(), (0, 4 * (nodes - node))))
    return torch.stack(rows)


def log_probability(alpha: Tensor, space: SearchSpace) -> LogProbability:
    """Node -> label -> logarithm of what it has of its edge's mixture: DARTS keeps the largest of each node."""
    told = alpha.detach().double().log_softmax(dim=-1)[:, 1:]
    found = {}
    for node, decision in enumerate(space.decisions, 1):
        values = told[edge(node, 0) : edge(node + 1, 0)].flatten().tolist()
        found[decision.name] = dict(zip(decision.labels, values, strict=True))
    return found
