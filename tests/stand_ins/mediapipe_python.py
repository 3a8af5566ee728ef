"""A Python of its own with MediaPipe, whose ImageClassifier is what many Android apps run a LiteRT model with.

`python -m tests.stand_ins.mediapipe_python` makes it, in a minute or two.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.stand_ins import own_python

_WHEELS = ("mediapipe==1.2.2",)
_CLASSIFY = """
import json, sys
import mediapipe, numpy
from mediapipe.tasks.python.vision import ImageClassifier

def classified(model, pixels):
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
    [head] = model.classify(image).classifications
    return head.head_name, {each.category_name: each.score for each in head.categories}

images, *models = sys.argv[1:]
found = []
for path in models:
    with ImageClassifier.create_from_model_path(path) as model:
        found.append([classified(model, pixels) for pixels in numpy.load(images)])
print(json.dumps(found))
"""


def find() -> Path | None:
    """Its interpreter, where it was made before; under MILLIS_REQUIRE_ALL=1 it is made."""
    return own_python.find(*_WHEELS)


def classify(python: Path, models: Sequence[Path], pixels: np.ndarray) -> list[list[tuple[str, dict[str, float]]]]:
    """For each model and image, uint8 [N, H, W, 3]: the name of its output, and the score of each label.

    Raises RuntimeError, in MediaPipe's words, for a model that it refuses.
    """
    with tempfile.TemporaryDirectory() as scratch:
        np.save(Path(scratch) / "images.npy", pixels)
        command = [str(python), "-c", _CLASSIFY, f"{scratch}/images.npy", *map(str, models)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: list[list[tuple[str, dict[str, float]]]] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    own_python.make(*_WHEELS)
