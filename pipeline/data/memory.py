"""Images that are held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class InMemory:
    """All images of a source, uint8 [M, C, H, W]."""

    pixels: Tensor

    @staticmethod
    def of(pixels: Tensor, resolution: int | None) -> InMemory:
        """Square images uint8 [M, C, H, H], resized once where another resolution is asked."""
        from torch.nn.functional import interpolate

        if resolution in (None, pixels.shape[-1]):
            return InMemory(pixels.contiguous())
        return InMemory(interpolate(pixels, size=(resolution, resolution), mode="bilinear", antialias=True))

    @property
    def shape(self) -> Shape:
        _, channels, height, width = self.pixels.shape
        return Shape(height, width, channels)

    def read(self, indices: Tensor) -> Tensor:
        return self.pixels[indices]
