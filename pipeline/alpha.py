"""Architecture parameters: one alpha for every candidate of every decision."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.space import SearchSpace, SpaceError


@dataclass(frozen=True, slots=True)
class Alpha:
    """values: [L, K] for L decisions of at most K candidates; exists: [L, K], false beyond a decision's last one."""

    space: SearchSpace
    values: Tensor
    exists: Tensor

    @staticmethod
    def initial(space: SearchSpace, generator: torch.Generator) -> Alpha:
        """Near uniform: normal with a deviation of 1e-3, as in ProxylessNAS and DARTS.

        Raises SpaceError for a space without a decision.
        """
        sizes = [len(layer.labels) for layer in space.decisions]
        if not sizes:
            raise SpaceError(f"space {space.name}: it leaves nothing open, so there is nothing to search")
        exists = torch.arange(max(sizes)) < torch.tensor(sizes)[:, None]
        values = 1e-3 * torch.randn(exists.shape, generator=generator)
        return Alpha(space, values.requires_grad_(), exists)

    def probability(self) -> Tensor:
        """Softmax over each decision's candidates: [L, K], zero where there is none."""
        return self.softmax(self.values)

    def softmax(self, scores: Tensor) -> Tensor:
        """Softmax of scores [L, K] over each decision's candidates, zero where there is none."""
        return scores.masked_fill(~self.exists, -torch.inf).softmax(dim=-1)

    def by_decision(self, rows: Tensor) -> list[Tensor]:
        """[L, K] -> for each decision a row of as many numbers as it has candidates."""
        return [row[: len(layer.labels)] for row, layer in zip(rows, self.space.decisions, strict=True)]

    def log_probability(self) -> dict[str, dict[str, float]]:
        """Decision name -> candidate label -> log-probability."""
        values = self.values.detach().double().masked_fill(~self.exists, -torch.inf)
        rows = values.log_softmax(dim=-1).tolist()
        return {
            layer.name: dict(zip(layer.labels, row, strict=False))
            for layer, row in zip(self.space.decisions, rows, strict=True)
        }
