"""Data sets: digits is built in, the others are found on this machine and downloaded only when asked.

Adding one takes a function `Request -> Official` and a line in `DATASETS`. Nothing here imports a library before a data
set is loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipeline.data.cifar import load_cifar10, load_cifar100
from pipeline.data.digits import load_digits
from pipeline.data.fashion_mnist import load_fashion_mnist
from pipeline.data.imagefolder import load_imagefolder
from pipeline.data.request import DataError, Request
from pipeline.data.splits import Augment, Data, Normalisation, Official, Split

__all__ = ["DATASETS", "Augment", "Data", "DataError", "Normalisation", "Official", "Request", "Split", "load_data"]

DATASETS: dict[str, Callable[[Request], Official]] = {
    "digits": load_digits,
    "fashion-mnist": load_fashion_mnist,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "imagefolder": load_imagefolder,
}


def load_data(
    name: str, *, resolution: int | None = None, root: Path | None = None, download: bool = False, seed: int = 0
) -> Data:
    """The data set of that name, divided for a search; `imagefolder:PATH` reads folders of images.

    `fashion-mnist?images=12000` takes so many of the training images, of each class its share, and all to test on.
    `resolution` is the side of the square images, None for the data set's own; `root` is where data sets lie. `seed`
    divides the training images into weight and architecture split; the test split is the same for every seed.
    Raises DataError.
    """
    whole, _, count = name.partition("?images=")
    kind, _, path = whole.partition(":")
    if kind not in DATASETS:
        raise DataError(f"data {name!r}: no such data set; there are: {', '.join(DATASETS)}:PATH")
    if bool(path) != (kind == "imagefolder"):
        raise DataError(f"data {name!r}: write imagefolder:PATH for folders of images, and other names without a path")
    if resolution is not None and resolution < 1:
        raise DataError(f"data {name!r}: resolution={resolution} must be at least 1")
    request = Request(name=name, path=Path(path), resolution=resolution, root=root, download=download)
    official = DATASETS[kind](request)
    return Data.divided(name, _fewer(official, name, count) if count else official, seed=seed)


def _fewer(official: Official, name: str, count: str) -> Official:
    """The same few training images for every seed."""
    most = len(official.training)
    if not (count.isascii() and count.isdigit()) or not 2 * len(official.classes) <= int(count) <= most:
        raise DataError(f"data {name!r}: images={count} must be a number from {2 * len(official.classes)} to {most}")
    if int(count) == most:
        return official
    _, few = official.training.divided(int(count) / most, seed=0)
    return replace(official, training=few)
