"""Classify an image: `python classify.py image.png`.

Needs numpy, onnxruntime and pillow. Reads manifest.json beside it for the models, their preprocessing and the settings
with which their latency was measured.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent


def load_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """A model with the session options that were measured."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def preprocess(image: Image.Image, spec: dict[str, Any]) -> np.ndarray:
    """An image of any size as the model takes it: float32 [1, C, H, W]."""
    upright = ImageOps.exif_transpose(image).convert("L" if spec["channels"] == 1 else "RGB")
    image = ImageOps.fit(upright, (spec["width"], spec["height"]), method=Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.float32).reshape(1, spec["height"], spec["width"], spec["channels"])
    normalised = (pixels * spec["scale"] - spec["mean"]) / spec["std"]
    return np.ascontiguousarray(normalised.transpose(0, 3, 1, 2), dtype=np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max())
    return np.asarray(exponentials / exponentials.sum())


def main() -> None:
    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    models = {model["precision"]: model for model in manifest["models"]}  # the one to use first
    parser = argparse.ArgumentParser(description="Classify an image.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--precision", choices=models, default=next(iter(models)), help="by default the one to use")
    parser.add_argument("--top", type=int, default=3, help="how many labels to print (default 3)")
    arguments = parser.parse_args()

    labels = (HERE / manifest["labels"]).read_text(encoding="utf-8").splitlines()
    threads = manifest["models"][0]["measured"][0]["threads"]
    session = load_session(HERE / models[arguments.precision]["path"], threads)
    with Image.open(arguments.image) as image:
        inputs = preprocess(image, manifest["preprocessing"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: inputs})
    probabilities = softmax(logits[0])
    for index in np.argsort(-probabilities)[: arguments.top]:
        print(f"{labels[index]}\t{probabilities[index]:.4f}")


if __name__ == "__main__":
    main()
