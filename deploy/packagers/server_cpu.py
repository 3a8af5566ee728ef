"""A server's CPU: an ONNX file and a Python sample that runs it with the settings that were measured."""

from __future__ import annotations

from deploy.bundle import Packager

PACKAGER = Packager(
    name="server-cpu",
    format="onnx",
    model="model.onnx",
    labels="labels.txt",
    golden_inputs="golden_inputs.bin",
    golden_outputs="golden_outputs.bin",
    templates={
        "classify.py": "server_cpu/classify.py",
        "requirements.txt": "server_cpu/requirements.txt.j2",
        "README.md": "server_cpu/README.md.j2",
        "MODEL_CARD.md": "MODEL_CARD.md.j2",
    },
)
