"""`imagefolder:PATH`: your own photographs, one folder for each class."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.request import DataError, Request
from pipeline.data.splits import Augment, Official, Split
from profilers.shape import Shape

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

DEFAULT_RESOLUTION = 224
SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
TEST_FOLDERS = ("test", "val")
TEST_FRACTION, TEST_SEED = 0.2, 0
LICENCE = "not known: the images are those of whoever trained the network"


@dataclass(frozen=True, slots=True, eq=False)
class ImageFiles:
    """Files that are decoded each time they are read: shorter side resized, centre cropped, RGB."""

    paths: tuple[Path, ...]
    resolution: int

    @property
    def shape(self) -> Shape:
        return Shape(self.resolution, self.resolution, 3)

    def read(self, indices: Tensor) -> Tensor:
        import numpy as np
        import torch

        paths = [self.paths[index] for index in indices.tolist()]
        with ThreadPoolExecutor() as pool:
            images = np.stack(list(pool.map(self._decode, paths)))
        return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()

    def _decode(self, path: Path) -> np.ndarray:
        import numpy as np
        from PIL import Image, ImageOps

        size = (self.resolution, self.resolution)
        try:
            with Image.open(path) as image:
                # JPEG decodes faster at a fraction of its size; twice what is needed keeps the resizing smooth.
                image.draft("RGB", (2 * self.resolution, 2 * self.resolution))
                upright = ImageOps.exif_transpose(image).convert("RGB")
                return np.asarray(ImageOps.fit(upright, size, method=Image.Resampling.BILINEAR))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{path}: not a readable image: {error}; mend or remove it") from None


def load_imagefolder(request: Request) -> Official:
    """PATH/train and PATH/test (or val) where they are; otherwise the class folders of PATH, a fifth to test on."""
    path = request.path
    if not path.is_dir():
        raise DataError(f"data {request.name!r}: no such folder: {path}")
    resolution = request.resolution or DEFAULT_RESOLUTION
    found = path / "train" if (path / "train").is_dir() else path
    classes = _classes(found)
    training = _split(found, classes, resolution)
    if found == path:
        training, test = training.divided(TEST_FRACTION, seed=TEST_SEED)
    else:
        test = _split(_test_folder(path, classes), classes, resolution)
    augment = Augment(shift=resolution // 8, flip=0.5)
    return Official(classes=classes, training=training, test=test, augment=augment, licence=LICENCE)


def _classes(folder: Path) -> tuple[str, ...]:
    classes = tuple(sorted(child.name for child in folder.iterdir() if child.is_dir() and child.name[0] != "."))
    if len(classes) < 2:
        raise DataError(f"{folder}: {len(classes)} folders; an image folder holds one folder of images for each class")
    return classes


def _test_folder(path: Path, classes: tuple[str, ...]) -> Path:
    for folder in (path / name for name in TEST_FOLDERS):
        if folder.is_dir():
            if _classes(folder) != classes:
                raise DataError(f"{folder}: its folders are not those of {path / 'train'}; name the classes alike")
            return folder
    raise DataError(f"{path}: there is a train folder, but none named test or val; add one of them")


def _split(folder: Path, classes: tuple[str, ...], resolution: int) -> Split:
    import torch

    paths, labels = [], []
    for label, name in enumerate(classes):
        images = sorted(file for file in (folder / name).rglob("*") if file.suffix.lower() in SUFFIXES)
        if not images:
            raise DataError(f"{folder / name}: no images; a class needs some ({', '.join(sorted(SUFFIXES))})")
        paths += images
        labels += [label] * len(images)
    return Split.whole(ImageFiles(tuple(paths), resolution), torch.tensor(labels))
