"""Images with labels, and their division into weight, architecture and test split."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Protocol

from pipeline.data.request import DataError
from pipeline.data.seeding import generator
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import Tensor

# Images that mean and standard deviation are computed from, evenly spaced over the weight split: reading a whole folder
# of photographs for two numbers would cost minutes.
NORMALISATION_IMAGES = 2048


class Images(Protocol):
    """Where pixels lie: in memory or in files."""

    @property
    def shape(self) -> Shape: ...

    def read(self, indices: Tensor) -> Tensor:
        """The images at `indices` [N], uint8 [N, C, H, W]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augment:
    """Random changes to training images; the default changes nothing."""

    shift: int = 0  # pixels, each way, filled with zeros
    flip: float = 0.0  # probability of a mirrored image
    cutout: int = 0  # side of a square of zeros, pixels (arXiv:1708.04552)

    def __post_init__(self) -> None:
        if self.shift < 0 or self.cutout < 0 or not 0 <= self.flip <= 1:
            raise ValueError(f"{self}: shift and cutout must not be negative, and flip must lie in 0..1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalisation:
    """`(uint8 / 255 - mean) / std`, one number each for all channels."""

    mean: float
    std: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Images of one origin with their labels, int64 [M]."""

    images: Images
    labels: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Some of the images of a source: `indices`, int64 [N]."""

    source: Source
    indices: Tensor

    @staticmethod
    def whole(images: Images, labels: Tensor) -> Split:
        """All images, of which `labels` [M] are the classes."""
        import torch

        return Split(source=Source(images=images, labels=labels), indices=torch.arange(len(labels)))

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def shape(self) -> Shape:
        return self.source.images.shape

    @property
    def labels(self) -> Tensor:
        """The classes of the split's images, int64 [N]."""
        return self.source.labels[self.indices]

    def read(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Images uint8 [B, C, H, W] and labels int64 [B] at `positions` [B], counted within the split."""
        indices = self.indices[positions]
        return self.source.images.read(indices), self.source.labels[indices]

    def overlaps(self, other: Split) -> bool:
        import torch

        return self.source is other.source and bool(torch.isin(self.indices, other.indices).any())

    def divided(self, fraction: float, *, seed: int) -> tuple[Split, Split]:
        """Two disjoint splits, the second with about `fraction` of each class, at least one image of each.

        Raises DataError where a class has fewer than two images.
        """
        import torch

        random = generator(seed, "split")
        labels = self.labels
        kept, held = [], []
        for label in sorted(set(labels.tolist())):
            members = self.indices[labels == label]
            if len(members) < 2:
                raise DataError(f"class {label} has {len(members)} image, too few to divide; add images or drop it")
            members = members[torch.randperm(len(members), generator=random)]
            count = min(max(1, round(fraction * len(members))), len(members) - 1)
            held.append(members[:count])
            kept.append(members[count:])
        return self._of(torch.cat(kept)), self._of(torch.cat(held))

    def _of(self, indices: Tensor) -> Split:
        return Split(source=self.source, indices=indices.sort().values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Official:
    """A data set as its authors divide it: the images to train on and the images to test on."""

    classes: tuple[str, ...]
    training: Split
    test: Split
    architecture_fraction: float = 0.2  # of the training images
    augment: Augment
    licence: str  # of the images, and who grants it; that none is stated where none is


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Data:
    """A data set divided for a search: three splits that share no image."""

    name: str
    classes: tuple[str, ...]
    shape: Shape
    normalisation: Normalisation
    augment: Augment
    weights: Split
    architecture: Split
    test: Split
    licence: str = ""

    def __post_init__(self) -> None:
        for one, other in combinations((self.weights, self.architecture, self.test), 2):
            if one.overlaps(other):
                raise ValueError(f"data {self.name!r}: two splits share images")

    @staticmethod
    def divided(name: str, official: Official, *, seed: int) -> Data:
        """The official training images divided into weight and architecture split, class by class."""
        weights, architecture = official.training.divided(official.architecture_fraction, seed=seed)
        return Data(
            name=name,
            classes=official.classes,
            shape=weights.shape,
            normalisation=normalisation_of(weights),
            augment=official.augment,
            weights=weights,
            architecture=architecture,
            test=official.test,
            licence=official.licence,
        )

    @property
    def training(self) -> Split:
        """Weight and architecture split joined."""
        import torch

        indices = torch.cat([self.weights.indices, self.architecture.indices])
        return Split(source=self.weights.source, indices=indices.sort().values)


def normalisation_of(split: Split) -> Normalisation:
    """Mean and standard deviation of the pixels of up to 2,048 images of a split, in exact integer sums."""
    import torch

    count = min(len(split), NORMALISATION_IMAGES)
    pixels, _ = split.read(torch.arange(count) * len(split) // count)
    values = torch.arange(256, dtype=torch.float64) / 255
    weights = torch.bincount(pixels.flatten(), minlength=256) / pixels.numel()
    mean = float(values @ weights.double())
    variance = float((values - mean).square() @ weights.double())
    return Normalisation(mean=mean, std=max(variance**0.5, 1 / 255))
