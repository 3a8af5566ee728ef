"""A Python of its own with onnxruntime-webgpu, which cannot stand beside the onnxruntime that everything else uses.

`python -m tests.stand_ins.webgpu_python` makes it, in a minute.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from platformdirs import user_cache_path

_WHEELS = ("onnxruntime-webgpu==1.27.0", "numpy>=2,<3")


def find() -> Path | None:
    """Its interpreter, where it was made before; under MILLIS_REQUIRE_ALL=1 it is made."""
    if os.environ.get("MILLIS_REQUIRE_ALL") == "1":
        return make()
    return _python() if _python().exists() else None


def make() -> Path:
    """The interpreter, whose environment appears whole or not at all."""
    place = _python().parents[1]
    if not place.exists():
        scratch = place.with_name(f"{place.name}.{os.getpid()}")
        venv.create(scratch, with_pip=True)
        command = [str(scratch / "bin" / "python"), "-m", "pip", "install", "--quiet", *_WHEELS]
        subprocess.run(command, check=True, stdout=sys.stderr)
        try:
            scratch.rename(place)
        except OSError:  # another process was faster
            shutil.rmtree(scratch)
    return _python()


def _python() -> Path:
    return user_cache_path("millis-tests") / _WHEELS[0].replace("==", "-") / "bin" / "python"


if __name__ == "__main__":
    make()
