"""A Linux board: a LiteRT and an ONNX file, one Python runner for both, and a C++ sample.

int8 ONNX files have uint8 activations and int8 weights. On an x86 processor without VNNI ONNX Runtime adds up pairs of
their products in 16 bits, which saturate (its documentation, "Data type selection"); the README says so where one is
shipped.
"""

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
