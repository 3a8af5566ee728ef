"""Golden inputs and outputs: what a model must reproduce wherever the bundle is installed."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.errors import BundleError

if TYPE_CHECKING:
    import numpy as np

    from deploy.manifest import Answers, GoldenTensor, Preprocessing
    from profilers.artifact import Layout
    from profilers.precision import Precision

# Of the range of the golden outputs; a wrong file, layout or preprocessing is off by far more.
TOLERANCES: dict[Precision, float] = {
    # Other processors add in another order and leave about 1e-6.
    "fp32": 1e-3,
    # Sums of ten bits, on a processor or GPU that computes in halves: 5e-4 for each layer, about 1e-2 for a network.
    "fp16": 3e-2,
    # A sum that falls between two steps is rounded to either by other kernels, and layers pass that on: 20 of the
    # output's 255 steps.
    "int8": 8e-2,
}

_PIXEL_SLACK = 0.01  # float32 rounding of a pixel that was normalised and brought back


def tolerance(precision: Precision, outputs: np.ndarray) -> float:
    """The largest difference of an output that is no fault of the model."""
    return TOLERANCES[precision] * float(outputs.max() - outputs.min())


def require_agreement(found: np.ndarray, expected: np.ndarray, precision: Precision, *, what: str) -> None:
    """Raise BundleError where outputs differ by more than the tolerance; `what` is the start of its sentence."""
    difference, allowed = float(abs(found - expected).max()), tolerance(precision, expected)
    if not difference <= allowed:  # so that a difference that is not a number fails too
        raise BundleError(f"{what} by {difference:.3g}, {allowed:.3g} allowed")


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities [N, classes]."""
    import numpy as np

    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True), dtype=np.float32)


def expected_answers(logits: np.ndarray, answers: Answers) -> np.ndarray:
    """What a model that `answers` so gives where PyTorch gives these logits."""
    return softmax(logits) if answers == "probabilities" else logits


def to_layout(images: np.ndarray, layout: Layout) -> np.ndarray:
    """[N, C, H, W] in the layout that a model takes."""
    return images.transpose(0, 2, 3, 1) if layout == "NHWC" else images


def from_layout(images: np.ndarray, layout: Layout) -> np.ndarray:
    """What a model takes, as [N, C, H, W]."""
    return images.transpose(0, 3, 1, 2) if layout == "NHWC" else images


def to_bytes(array: np.ndarray) -> bytes:
    return array.astype("<f4").tobytes()


def read_tensor(folder: Path, tensor: GoldenTensor) -> np.ndarray:
    """The values of a golden file; raises BundleError where they do not fill the shape."""
    import numpy as np

    data = (folder / tensor.path).read_bytes()
    size = 4 * int(np.prod(tensor.shape, dtype=object))
    if len(data) != size:
        raise BundleError(f"{tensor.path}: {len(data)} bytes, but its shape {list(tensor.shape)} takes {size}")
    return np.frombuffer(data, "<f4").reshape(tensor.shape)


def pixels_of(images: np.ndarray, *, mean: float, std: float) -> np.ndarray:
    """Undo the normalisation of images [N, C, H, W]: uint8 [N, H, W, C].

    Raises BundleError where whole pixels of 0..255 do not come out: then `mean` and `std` are not those of the images.
    """
    import numpy as np

    values = (images.astype(np.float64) * std + mean) * 255
    pixels = values.round()
    # Written so that a value that is not a number fails too.
    if not (np.abs(values - pixels).max() <= _PIXEL_SLACK and pixels.min() >= 0 and pixels.max() <= 255):
        raise BundleError(
            f"golden images: not (pixel/255 - {mean:g}) / {std:g} of whole pixels; "
            "give the mean and std that the network was trained with"
        )
    return pixels.astype(np.uint8).transpose(0, 2, 3, 1)


def to_png(pixels: np.ndarray) -> bytes:
    """uint8 [H, W, C] as a PNG; stored, so that its bytes are the same with every version of zlib."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def read_example(path: Path, spec: Preprocessing) -> np.ndarray:
    """An image of the model's own size, preprocessed: [1, C, H, W]. Raises BundleError where it is none."""
    import numpy as np
    from PIL import Image

    bombs = (Image.DecompressionBombWarning, Image.DecompressionBombError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=["PNG"]) as image:
                _require_size(image.size, spec, path.name)  # before its pixels are unpacked
                pixels = np.asarray(image.convert("L" if spec.channels == 1 else "RGB"), dtype=np.float32)
    except (OSError, ValueError, SyntaxError, *bombs) as error:
        raise BundleError(f"{path.name}: not a PNG image: {error}") from None
    channels_first = pixels.reshape(1, spec.height, spec.width, spec.channels).transpose(0, 3, 1, 2)
    return (channels_first * spec.scale - spec.mean) / spec.std


def _require_size(size: tuple[int, int], spec: Preprocessing, file: str) -> None:
    if size != (spec.width, spec.height):
        raise BundleError(f"{file}: {size[0]}x{size[1]} pixels, not {spec.width}x{spec.height}")
