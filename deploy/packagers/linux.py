"""A Linux board: a LiteRT and an ONNX file, one Python runner for both, and a C++ sample."""

from __future__ import annotations

from deploy.packager import Packager

PACKAGER = Packager(
    name="linux",
    summary="a Linux board: LiteRT and ONNX, run by one Python script or from C++",
    runtimes=("litert", "onnxruntime"),
    precisions=("fp32", "int8"),
    model=lambda variant, is_main: f"model.{variant.artifact.format}",
    labels="labels.txt",
    golden="golden",
    templates={
        "classify.py": "linux/classify.py",
        "classify.cc": "linux/classify.cc.j2",
        "README.md": "linux/README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
    },
    devices=("ssh", "local"),
)
