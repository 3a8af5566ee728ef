"""Batches for training and evaluation. Every random draw is a function of seed, epoch and step."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pipeline.data.seeding import generator
from pipeline.data.splits import Augment, Normalisation, Split


def step_count(split: Split, batch_size: int, *, shuffle: bool = True) -> int:
    """The number of batches in an epoch of `batches`."""
    if shuffle and len(split) >= batch_size:
        return len(split) // batch_size
    return -(-len(split) // batch_size)


def batches(
    split: Split,
    *,
    batch_size: int,
    normalisation: Normalisation,
    seed: int = 0,
    epoch: int = 0,
    augment: Augment | None = None,
    shuffle: bool = True,
    start: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch from step `start` on: fp32 [B, C, H, W] in channels-last memory, labels int64 [B].

    A shuffled epoch leaves out what does not fill a batch, other images each time: a last batch of a few images would
    upset the batch statistics. Without `shuffle` every image comes once, in the split's order.
    """
    random = generator(seed, "order", epoch)
    order = torch.randperm(len(split), generator=random) if shuffle else torch.arange(len(split))
    for step in range(start, step_count(split, batch_size, shuffle=shuffle)):
        pixels, labels = split.read(order[step * batch_size : (step + 1) * batch_size])
        if augment is not None:
            pixels = augmented(pixels, augment, generator(seed, "augment", epoch, step))
        yield normalised(pixels, normalisation), labels


def normalised(pixels: Tensor, normalisation: Normalisation) -> Tensor:
    """uint8 [N, C, H, W] -> fp32 of the same shape, in channels-last memory."""
    scaled = pixels.contiguous(memory_format=torch.channels_last).float() / 255
    return scaled.sub_(normalisation.mean).div_(normalisation.std)


def augmented(pixels: Tensor, augment: Augment, random: torch.Generator) -> Tensor:
    """Each image of uint8 [N, C, H, W] shifted, mirrored and cut by draws of its own."""
    if augment.shift:
        pixels = _shifted(pixels, augment.shift, random)
    if augment.flip:
        mirrored = torch.rand(len(pixels), generator=random) < augment.flip
        pixels = torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    if augment.cutout:
        pixels = pixels * _outside_square(pixels, augment.cutout, random)
    return pixels


def _shifted(pixels: Tensor, shift: int, random: torch.Generator) -> Tensor:
    count, _, height, width = pixels.shape
    padded = torch.nn.functional.pad(pixels, (shift, shift, shift, shift))
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view [N, C, 2s+1, 2s+1, H, W]
    down, right = torch.randint(2 * shift + 1, (2, count), generator=random)
    return windows[torch.arange(count), :, down, right]


def _outside_square(pixels: Tensor, side: int, random: torch.Generator) -> Tensor:
    """Ones but for a square of zeros around a random pixel, uint8 [N, 1, H, W]; at a border a part of it."""
    count, _, height, width = pixels.shape
    kept = []
    for size in (height, width):
        distance = torch.arange(size) - torch.randint(size, (count, 1), generator=random) + side // 2
        kept.append((distance < 0) | (distance >= side))
    return (kept[0][:, None, :, None] | kept[1][:, None, None, :]).to(torch.uint8)
