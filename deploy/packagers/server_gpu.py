"""A server's NVIDIA GPU: an ONNX file in half precision and a Python sample for CUDA and TensorRT."""

from __future__ import annotations

from deploy.packager import Packager

PACKAGER = Packager(
    name="server-gpu",
    summary="ONNX Runtime on a server's NVIDIA GPU: fp16 through CUDA or TensorRT",
    runtimes=("onnxruntime",),
    precisions=("fp32", "fp16"),
    model=lambda variant, is_main: f"model-{variant.precision}.onnx",
    labels="labels.txt",
    golden="golden",
    templates={
        "classify.py": "server_gpu/classify.py",
        "requirements.txt": "server_gpu/requirements.txt.j2",
        "README.md": "server_gpu/README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
    },
    devices=("local", "ssh"),
    accelerators=("cuda", "tensorrt"),
    unmeasured=True,
)
