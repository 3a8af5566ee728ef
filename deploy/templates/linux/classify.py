"""Classify an image: `python3 classify.py image.png`.

Python 3.8 or newer, numpy, Pillow, and one of ai-edge-litert, tflite-runtime (with numpy<2) and onnxruntime. Reads
manifest.json beside it; runs the first model there whose runtime is installed, with the threads that were measured.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent


def litert(path: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """What a LiteRT model gives for a batch, by whichever interpreter is installed."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        from tflite_runtime.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()

    def run(batch: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], batch)
        interpreter.invoke()
        output: np.ndarray = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        return output

    return run


def onnxruntime(path: str, threads: int) -> Callable[[np.ndarray], np.ndarray]:
    """What an ONNX model gives for a batch."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(batch: np.ndarray) -> np.ndarray:
        output: np.ndarray = session.run(None, {session.get_inputs()[0].name: batch})[0]
        return output

    return run


RUNTIMES = {"litert": litert, "onnxruntime": onnxruntime}
INSTALL = {"litert": "ai-edge-litert", "onnxruntime": "onnxruntime"}


def load(
    manifest: dict[str, Any], runtime: str | None = None
) -> tuple[dict[str, Any], Callable[[np.ndarray], np.ndarray]]:
    """The first model whose runtime is installed, or that of the runtime that is named."""
    models = [model for model in manifest["models"] if runtime in (None, model["runtime"])]
    for model in models:
        threads = model["measured"][0]["threads"] if model["measured"] else 1
        try:
            return model, RUNTIMES[model["runtime"]](str(HERE / model["path"]), threads)
        except ImportError as error:
            print(f"{model['path']}: {error}", file=sys.stderr)
    packages = " or ".join(INSTALL[model["runtime"]] for model in models)
    raise SystemExit(f"no runtime for the models of this bundle; python3 -m pip install {packages}")


def preprocess(image: Image.Image, spec: dict[str, Any], layout: str) -> np.ndarray:
    """An image of any size as a model takes it: float32 [1, H, W, C] or [1, C, H, W]."""
    upright = ImageOps.exif_transpose(image).convert("L" if spec["channels"] == 1 else "RGB")
    fitted = ImageOps.fit(upright, (spec["width"], spec["height"]), method=Image.Resampling.BILINEAR)
    pixels = np.asarray(fitted, dtype=np.float32).reshape(1, spec["height"], spec["width"], spec["channels"])
    normalised = (pixels * spec["scale"] - spec["mean"]) / spec["std"]
    return np.ascontiguousarray(normalised if layout == "NHWC" else normalised.transpose(0, 3, 1, 2), dtype=np.float32)


def probabilities(outputs: np.ndarray, answers: str) -> np.ndarray:
    if answers == "probabilities":
        return outputs
    exponentials = np.exp(outputs - outputs.max())
    return np.asarray(exponentials / exponentials.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description="Classify an image.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--runtime", choices=sorted(RUNTIMES), help="which to use (default: the first that is there)")
    parser.add_argument("--top", type=int, default=3, help="how many labels to print (default 3)")
    arguments = parser.parse_args()

    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    labels = (HERE / manifest["labels"]).read_text(encoding="utf-8").splitlines()
    model, run = load(manifest, arguments.runtime)
    with Image.open(arguments.image) as image:
        inputs = preprocess(image, manifest["preprocessing"], model["inputs"][0]["layout"])
    found = probabilities(run(inputs)[0], model["answers"])
    for index in np.argsort(-found)[: arguments.top]:
        print(f"{labels[index]}\t{found[index]:.4f}")


if __name__ == "__main__":
    main()
