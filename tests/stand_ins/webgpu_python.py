"""A Python of its own with onnxruntime-webgpu, which cannot stand beside the onnxruntime that everything else uses.

`python -m tests.stand_ins.webgpu_python` makes it, in a minute.
"""

from __future__ import annotations

from pathlib import Path

from tests.stand_ins import own_python

_WHEELS = ("onnxruntime-webgpu==1.27.0", "numpy>=2,<3")


def find() -> Path | None:
    """Its interpreter, where it was made before; under MILLIS_REQUIRE_ALL=1 it is made."""
    return own_python.find(*_WHEELS)


if __name__ == "__main__":
    own_python.make(*_WHEELS)
