"""A Python of its own with tflite-runtime, the last of 2023, which many boards still have; it works with numpy<2 only.

`python -m tests.stand_ins.tflite_runtime_python` makes it, in half a minute.
"""

from __future__ import annotations

from pathlib import Path

from tests.stand_ins import own_python

_WHEELS = ("tflite-runtime==2.14.0", "numpy<2", "pillow")


def find() -> Path | None:
    """Its interpreter, where it was made before; under MILLIS_REQUIRE_ALL=1 it is made."""
    return own_python.find(*_WHEELS)


if __name__ == "__main__":
    own_python.make(*_WHEELS)
