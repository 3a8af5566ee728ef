"""A Python of its own with MediaPipe, whose ImageClassifier is what many Android apps run a LiteRT model with.

`python -m tests.stand_ins.mediapipe_python` makes it, in a minute or two.
"""

from __future__ import annotations

from pathlib import Path

from tests.stand_ins import own_python

# Classifies the images of a .npy, uint8 [N, H, W, 3], with each model; prints the scores, by label, of each as JSON.
CLASSIFY = """
import json, sys
import mediapipe, numpy
from mediapipe.tasks.python.vision import ImageClassifier

def classified(model, pixels):
    image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
    [head] = model.classify(image).classifications
    return {"head": head.head_name} | {each.category_name: each.score for each in head.categories}

images, *models = sys.argv[1:]
found = []
for path in models:
    with ImageClassifier.create_from_model_path(path) as model:
        found.append([classified(model, pixels) for pixels in numpy.load(images)])
print(json.dumps(found))
"""

_WHEELS = ("mediapipe==1.2.2",)


def find() -> Path | None:
    """Its interpreter, where it was made before; under MILLIS_REQUIRE_ALL=1 it is made."""
    return own_python.find(*_WHEELS)


if __name__ == "__main__":
    own_python.make(*_WHEELS)
