"""`fashion-mnist`: 70,000 pictures of clothes, 28x28 (arXiv:1708.07747), read from idx files, compressed or not."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.memory import InMemory
from pipeline.data.request import DataError, Request
from pipeline.data.splits import Augment, Official, Split

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
# Folders below a place: Debian's package, torchvision's, the files themselves.
FOLDERS = ("fashion-mnist", "FashionMNIST/raw", ".")
TRAINING = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
UINT8_CODE = 8  # the element type, third byte of an idx file

LICENCE = "MIT, Copyright 2017 Zalando SE (github.com/zalandoresearch/fashion-mnist)"


def load_fashion_mnist(request: Request) -> Official:
    """The official 60,000 and 10,000 images."""
    folder = _find(request)
    if folder is None and request.download:
        _download(request)
        folder = _find(request)
    if folder is None:
        raise request.missing(package="dataset-fashion-mnist")
    shift = max(1, round((request.resolution or 28) / 28))  # the pictures are centred: two pixels cost accuracy
    return Official(
        classes=CLASSES,
        training=_split(folder, TRAINING, request.resolution),
        test=_split(folder, TEST, request.resolution),
        augment=Augment(shift=shift, flip=0.5),
        licence=LICENCE,
    )


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array of an idx file, gzipped if its name ends in `.gz`; raises DataError on anything else.

    The format: two zero bytes, the element type, the number of axes, their sizes as big-endian uint32, the elements.
    """
    import numpy as np

    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a readable idx file: {error}") from None
    if len(content) < 4 or content[:3] != bytes((0, 0, UINT8_CODE)):
        raise DataError(f"{path}: not an idx file of bytes; fetch it again")
    begin = 4 + 4 * content[3]
    sizes = [int.from_bytes(content[at : at + 4], "big") for at in range(4, begin, 4)]
    elements = np.frombuffer(content, dtype=np.uint8)[begin:]
    if elements.size != np.prod(sizes, dtype=object):
        raise DataError(f"{path}: {elements.size} elements instead of {sizes}; the file is cut off, fetch it again")
    return elements.reshape(sizes)


def _split(folder: Path, names: tuple[str, str], resolution: int | None) -> Split:
    import torch

    images, labels = (torch.from_numpy(read_idx(_file(folder, name)).copy()) for name in names)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(f"{folder}: {names[0]} and {names[1]} do not belong together; fetch them again")
    _check_labels(folder, labels)
    return Split.whole(InMemory.of(images.unsqueeze(1), resolution), labels.long())


def _check_labels(folder: Path, labels: Tensor) -> None:
    if len(labels) == 0 or int(labels.max()) >= len(CLASSES):
        raise DataError(f"{folder}: labels are not the {len(CLASSES)} classes of Fashion-MNIST; fetch it again")


def _find(request: Request) -> Path | None:
    folders = [place / folder for place in request.places() for folder in FOLDERS]
    return next((folder for folder in folders if all(_file(folder, name).is_file() for name in TRAINING + TEST)), None)


def _file(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _download(request: Request) -> None:
    from torchvision import datasets

    place = request.download_place()
    try:
        datasets.FashionMNIST(str(place), download=True)
    except (OSError, RuntimeError) as error:
        raise request.failed(place, error) from None
