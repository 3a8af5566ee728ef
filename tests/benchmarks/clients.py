"""Whether the programs of others agree with a bundle: `python -m tests.benchmarks.clients RUN/bundles/android`.

MediaPipe's ImageClassifier and the tflite-runtime of 2023, each in a Python of its own, classify the golden images of
an android bundle; prints how far each is off the golden outputs, beside what the bundle allows.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from deploy import golden
from deploy.manifest import MANIFEST, Manifest, Model, read_manifest
from tests.stand_ins import mediapipe_python, tflite_runtime_python


def main(bundle: Path) -> None:
    manifest = read_manifest(bundle / MANIFEST)
    python = mediapipe_python.find()
    if python is None:
        raise SystemExit("python -m tests.stand_ins.mediapipe_python comes first")
    labels = (bundle / manifest.labels).read_text().splitlines()
    paths = [_taken_by_mediapipe(bundle, manifest, model) for model in manifest.models]
    answers = mediapipe_python.classify(python, paths, _pixels(bundle, manifest))
    for model, path, found in zip(manifest.models, paths, answers, strict=True):
        scores = np.array([[image[label] for label in labels] for _, image in found])
        off = abs(scores - golden.read_tensor(bundle, model.golden.outputs)).max()
        print(f"mediapipe       {path.relative_to(bundle)}: off by {off:.3g} of {model.golden.tolerance:.3g} allowed")
    other = tflite_runtime_python.find()
    if other is None:
        raise SystemExit("python -m tests.stand_ins.tflite_runtime_python comes first")
    told = subprocess.run([other, bundle / "verify.py"], capture_output=True, text=True, check=False).stdout
    print("".join(f"tflite-runtime  {line}\n" for line in told.splitlines()), end="")


def _taken_by_mediapipe(bundle: Path, manifest: Manifest, model: Model) -> Path:
    return bundle / (f"mediapipe/{model.name}.tflite" if manifest.preprocessing.channels == 1 else model.path)


def _pixels(bundle: Path, manifest: Manifest) -> np.ndarray:
    """The golden images as RGB, uint8 [N, H, W, 3]."""
    spec, tensor = manifest.preprocessing, manifest.model.golden.inputs
    images = golden.from_layout(golden.read_tensor(bundle, tensor), tensor.layout)
    pixels = golden.pixels_of(images, mean=spec.mean, std=spec.std)
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:3], 3)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
