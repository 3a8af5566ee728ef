"""The Kotlin compiler, as npm has it; it needs a Java.

`python -m tests.stand_ins.kotlin_compiler` installs it, in a minute.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from platformdirs import user_cache_path

_PACKAGE = "kotlin-compiler@2.4.20"

# Names and types of what an Android app is compiled with.
ANDROID_API = Path(__file__).with_name("android_api")


def find() -> Path | None:
    """`kotlinc`, where it was installed before and there is a Java; under MILLIS_REQUIRE_ALL=1 it is installed."""
    if shutil.which("java") is None:
        return None
    if os.environ.get("MILLIS_REQUIRE_ALL") == "1":
        return install()
    return next(_place().rglob("kotlinc"), None)


def install() -> Path:
    """`kotlinc`, whose folder appears whole or not at all."""
    if not _place().exists():
        scratch = _place().with_name(f"{_place().name}.{os.getpid()}")
        scratch.mkdir(parents=True)
        words = ("install", "--ignore-scripts", "--no-audit", "--no-fund", f"--prefix={scratch}", _PACKAGE)
        subprocess.run(["npm", *words], check=True, stdout=sys.stderr)
        try:
            scratch.rename(_place())
        except OSError:  # another process was faster
            shutil.rmtree(scratch)
    return next(_place().rglob("kotlinc"))


def _place() -> Path:
    return user_cache_path("millis-tests") / _PACKAGE.replace("@", "-")


if __name__ == "__main__":
    sys.stdout.write(f"{install()}\n")
