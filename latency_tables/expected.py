"""Expected latency of a supernet: differentiable, from a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from latency_tables.crowding import UNCROWDED, Crowding
from latency_tables.table import LatencyTable
from profilers.op_spec import OpSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class SupernetCost:
    """What the parts of a supernet cost on one target: the fixed part, ms, and cost_ms [L, K] of the candidates.

    Rows with fewer than K candidates are filled with zeros, which their zero probabilities meet.
    """

    fixed_ms: float
    cost_ms: Tensor
    crowding: Crowding = UNCROWDED

    def expected_ms(self, probability: Tensor) -> Tensor:
        """Expected latency, ms. probability [L, K], rows summing to one -> scalar (arXiv:1812.00332, equation 6).

        It is the latency of the expected sum: of a network that is decided, its own.
        """
        return self.crowding.latency_ms(self.fixed_ms + (probability * self.cost_ms).sum())


def supernet_cost(
    table: LatencyTable, fixed: Sequence[OpSpec], decisions: Sequence[Sequence[Sequence[OpSpec]]]
) -> SupernetCost:
    """The calibrated costs of fixed operations, and of what each decision's candidates add; raises MissingOpError."""
    widest = max((len(candidates) for candidates in decisions), default=1)
    cost_ms = torch.zeros(len(decisions), widest)
    for row, candidates in enumerate(decisions):
        cost_ms[row, : len(candidates)] = torch.tensor([sum(map(table.op_ms, ops), 0.0) for ops in candidates])
    return SupernetCost(fixed_ms=table.sum_ms(fixed), cost_ms=cost_ms, crowding=table.crowding)
