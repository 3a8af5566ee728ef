"""Sampling binary gates, and the rescaling that keeps two-path updates local (arXiv:1812.00332, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pipeline.alpha import Alpha
from pipeline.supernet import Gates

Paths = Literal["two", "full"]


@dataclass(frozen=True, slots=True)
class GateSample:
    """One draw for every decision.

    candidates: [L, P] indices taking part; active: [L] positions of the active ones; share: [L, P] the softmax over the
    candidates taking part, with its graph; probability: [L, K] over all candidates, whose gradient reaches only alphas
    of candidates taking part.
    """

    candidates: Tensor
    active: Tensor
    share: Tensor
    probability: Tensor
    exists: Tensor

    def gates(self) -> list[Gates]:
        """One-hot gates that pass their gradient on to the softmax: dL/dalpha_i = sum_j G_j p_j (delta_ij - p_i)."""
        one_hot = torch.nn.functional.one_hot(self.active, self.share.shape[1])
        values = one_hot - self.share.detach() + self.share
        rows = zip(self.candidates.tolist(), self.active.tolist(), self.exists.sum(1).tolist(), strict=True)
        return [Gates(tuple(row[:count]), active, values[i, :count]) for i, (row, active, count) in enumerate(rows)]


def sample_gates(alpha: Alpha, paths: Paths, generator: torch.Generator) -> GateSample:
    """Draw the active candidate of every decision: among all of them, or among two drawn from their probabilities."""
    return _sample_two(alpha, generator) if paths == "two" else _sample_full(alpha, generator)


def sample_path(probability: Tensor, generator: torch.Generator) -> list[int]:
    """One candidate per decision: probability [L, K] -> L indices."""
    return torch.multinomial(probability.detach(), 1, generator=generator).squeeze(1).tolist()


def _sample_full(alpha: Alpha, generator: torch.Generator) -> GateSample:
    probability = alpha.probability()
    active = torch.multinomial(probability.detach(), 1, generator=generator).squeeze(1)
    candidates = torch.arange(probability.shape[1]).expand_as(probability)
    return GateSample(candidates, active, probability, probability, alpha.exists)


def _sample_two(alpha: Alpha, generator: torch.Generator) -> GateSample:
    probability = alpha.probability().detach()
    # A probability too small for its type still beats a candidate that does not exist.
    possible = probability.clamp_min(torch.finfo(probability.dtype).tiny).masked_fill(~alpha.exists, 0)
    pair = torch.multinomial(possible, 2, generator=generator)
    share = alpha.values.gather(1, pair).softmax(dim=-1)
    active = torch.multinomial(share.detach(), 1, generator=generator).squeeze(1)
    mass = probability.gather(1, pair).sum(1, keepdim=True)
    reached = probability.scatter(1, pair, mass * share)
    return GateSample(pair, active, share, reached, torch.ones_like(pair, dtype=torch.bool))


def rescale(alpha: Tensor, before: Tensor, pair: Tensor) -> Tensor:
    """Shift both alphas of each pair so that the pair's mass, and so every other probability, is what it was.

    alpha, before: [L, K] after and before the update; pair: [L, 2] -> the rescaled alpha [L, K].
    """
    updated = alpha.gather(1, pair)
    offset = updated.logsumexp(1, keepdim=True) - before.gather(1, pair).logsumexp(1, keepdim=True)
    return alpha.scatter(1, pair, updated - offset)
