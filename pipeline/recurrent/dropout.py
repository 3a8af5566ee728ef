"""Dropout whose masks are locked for a whole segment (arXiv:1512.05287), drawn from a generator of the step's own."""

from __future__ import annotations

import torch
from torch import Generator, Tensor


def mask(shape: tuple[int, ...], rate: float, random: Generator | None) -> Tensor | None:
    """Zeros at that rate, what is left scaled to keep the mean; None where nothing is dropped."""
    if random is None or rate == 0:
        return None
    return (torch.rand(shape, generator=random) >= rate).float() / (1 - rate)


def dropped(values: Tensor, kept: Tensor | None) -> Tensor:
    return values if kept is None else values * kept
