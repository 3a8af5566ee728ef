"""A server's CPU: ONNX files and a Python sample that runs them with the settings that were measured."""

from __future__ import annotations

from deploy.ort_format import ort_files
from deploy.packager import Packager

PACKAGER = Packager(
    name="server-cpu",
    summary="ONNX Runtime on a server's CPU: fp32 and int8, also in ONNX Runtime's own form for reduced builds",
    runtimes=("onnxruntime",),
    precisions=("fp32", "int8"),
    model=lambda variant, is_main: f"model-{variant.precision}.onnx",
    labels="labels.txt",
    golden="golden",
    templates={
        "classify.py": "server_cpu/classify.py",
        "requirements.txt": "server_cpu/requirements.txt.j2",
        "README.md": "server_cpu/README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
    },
    devices=("local", "ssh"),
    alternatives=True,
    more_files=lambda contents, manifest: ort_files(contents, manifest, "ort"),
)
