"""`cifar10` and `cifar100`: 60,000 photographs of 32x32 pixels, read by torchvision.

Their authors ship pickles. torchvision opens them only if their md5 sums are the published ones.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.memory import InMemory
from pipeline.data.request import Request
from pipeline.data.splits import Augment, Official, Split

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

LICENCE = "none is stated by its authors (cs.toronto.edu/~kriz/cifar.html)"


def load_cifar10(request: Request) -> Official:
    from torchvision.datasets import CIFAR10

    return _load(request, CIFAR10)


def load_cifar100(request: Request) -> Official:
    from torchvision.datasets import CIFAR100

    return _load(request, CIFAR100)


def _load(request: Request, dataset: type[CIFAR10]) -> Official:
    """The official 50,000 and 10,000 images of one of the two, the second derived from the first in torchvision."""
    place = _find(request, dataset)
    try:
        training = dataset(str(place), train=True, download=request.download)
        test = dataset(str(place), train=False)
    except (OSError, RuntimeError) as error:
        raise request.failed(place, error) from None
    return Official(
        classes=tuple(training.classes),
        training=_split(training, request.resolution),
        test=_split(test, request.resolution),
        augment=Augment(shift=max(1, round((request.resolution or 32) / 8)), flip=0.5),
        licence=LICENCE,
    )


def _find(request: Request, dataset: type[CIFAR10]) -> Path:
    for place in request.places():
        if (place / dataset.base_folder).is_dir():
            return place
    if request.download:
        return request.download_place()
    raise request.missing()


def _split(found: CIFAR10, resolution: int | None) -> Split:
    import torch

    pixels = torch.from_numpy(found.data).permute(0, 3, 1, 2)
    return Split.whole(InMemory.of(pixels, resolution), torch.tensor(found.targets))
