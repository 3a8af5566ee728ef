"""Random generators that belong to one place in a run, so that a resumed run draws what it would have drawn."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator


def generator(seed: int, *where: str | int) -> Generator:
    """A generator seeded by all of its arguments; PyTorch's global one is left alone."""
    import torch

    # Four bytes are all that PyTorch's generator on the CPU takes from a seed.
    digest = blake2b(repr((seed, *where)).encode(), digest_size=4).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little"))
