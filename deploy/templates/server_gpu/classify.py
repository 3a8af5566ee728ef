"""Classify an image on an NVIDIA GPU: `python classify.py image.png [--provider tensorrt]`.

Needs numpy, onnxruntime-gpu and pillow, and tensorrt for that provider. Reads manifest.json beside it. Where the GPU
cannot be had it says so and stops: it never computes on the CPU in silence.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import Fail
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent

# Provider -> its name in ONNX Runtime and its options.
PROVIDERS: dict[str, tuple[str, dict[str, str]]] = {
    "cuda": (
        "CUDAExecutionProvider",
        # Every algorithm of a convolution is tried once, and the fastest kept.
        {"device_id": "0", "cudnn_conv_algo_search": "EXHAUSTIVE", "cudnn_conv_use_max_workspace": "1"},
    ),
    "tensorrt": (
        "TensorrtExecutionProvider",
        # An engine takes minutes to build: it is kept, for this GPU and this version of TensorRT, in the folder named,
        # which must be one that nobody else writes to.
        {
            "device_id": "0",
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": str(Path.home() / ".cache" / "tensorrt-engines"),
        },
    ),
    "cpu": ("CPUExecutionProvider", {}),
}


def load_session(model: dict[str, Any], provider: str) -> onnxruntime.InferenceSession:
    """A model with every operation on the provider; raises RuntimeError or Fail where it is not to be had."""
    name, settings = PROVIDERS[provider]
    if provider == "tensorrt":  # which would compute a model of fp32 in halves, too
        settings = settings | {"trt_fp16_enable": str(model["precision"] == "fp16")}
    if name not in onnxruntime.get_available_providers():
        raise RuntimeError(f"this onnxruntime has no {name}: pip install -r requirements.txt, and no other onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if provider != "cpu":
        onnxruntime.preload_dlls(directory="")  # CUDA as pip installs it
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = onnxruntime.InferenceSession(
        str(HERE / model["path"]), options, providers=[(name, settings)], enable_fallback=0
    )
    if session.get_providers()[0] != name:
        raise RuntimeError(f"{name} does not start: see whether nvidia-smi finds the GPU")
    return session


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
    parser = argparse.ArgumentParser(description="Classify an image on an NVIDIA GPU.")
    parser.add_argument("image", type=Path)
    parser.add_argument("--provider", choices=PROVIDERS, default="cuda", help="cuda by default")
    parser.add_argument("--top", type=int, default=3, help="how many labels to print (default 3)")
    arguments = parser.parse_args()

    manifest = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
    labels = (HERE / manifest["labels"]).read_text(encoding="utf-8").splitlines()
    try:
        session = load_session(manifest["models"][0], arguments.provider)
    except (Fail, RuntimeError) as error:
        sys.exit(f"{error}; --provider cpu computes without a GPU")
    with Image.open(arguments.image) as image:
        inputs = preprocess(image, manifest["preprocessing"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: inputs})
    probabilities = softmax(logits[0])
    for index in np.argsort(-probabilities)[: arguments.top]:
        print(f"{labels[index]}\t{probabilities[index]:.4f}")


if __name__ == "__main__":
    main()
