"""Pythons of their own, for packages that cannot stand beside those of this one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from platformdirs import user_cache_path


def find(*wheels: str) -> Path | None:
    """The interpreter that has them, where it was made before; under MILLIS_REQUIRE_ALL=1 it is made."""
    if os.environ.get("MILLIS_REQUIRE_ALL") == "1":
        return make(*wheels)
    return _python(wheels) if _python(wheels).exists() else None


def make(*wheels: str) -> Path:
    """The interpreter, whose environment appears whole or not at all; its folder is named after the first wheel."""
    place = _python(wheels).parents[1]
    if not place.exists():
        scratch = place.with_name(f"{place.name}.{os.getpid()}")
        venv.create(scratch, with_pip=True)
        command = [str(scratch / "bin" / "python"), "-m", "pip", "install", "--quiet", *wheels]
        subprocess.run(command, check=True, stdout=sys.stderr)
        try:
            scratch.rename(place)
        except OSError:  # another process was faster
            shutil.rmtree(scratch)
    return _python(wheels)


def _python(wheels: tuple[str, ...]) -> Path:
    return user_cache_path("millis-tests") / wheels[0].replace("==", "-") / "bin" / "python"
