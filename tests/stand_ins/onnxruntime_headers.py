"""The C++ headers of ONNX Runtime as Debian 13 has them: what a board compiles our C++ sample with.

`python -m tests.stand_ins.onnxruntime_headers` fetches them, in seconds; it takes apt and dpkg.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from platformdirs import user_cache_path

_SUITE, _PACKAGE = "trixie", "libonnxruntime-dev"
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
_HEADER = "onnxruntime_cxx_api.h"


def find() -> Path | None:
    """The folder of headers, where it was fetched before; under MILLIS_REQUIRE_ALL=1 it is."""
    if os.environ.get("MILLIS_REQUIRE_ALL") == "1":
        return fetch()
    return _place() if _place().exists() else None


def fetch() -> Path:
    """The folder of headers, which appears whole or not at all."""
    if not _place().exists():
        _place().parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_place().parent, prefix="onnxruntime-") as scratch:
            _unpack(Path(scratch))
            [header] = Path(scratch).rglob(_HEADER)
            try:
                header.parent.rename(_place())
            except OSError:  # another process was faster
                shutil.rmtree(header.parent)
    return _place()


def _place() -> Path:
    return user_cache_path("millis-tests") / f"{_PACKAGE}-{_SUITE}"


def _unpack(scratch: Path) -> None:
    """By an apt of its own, which leaves the machine's list of packages alone."""
    (scratch / "lists/partial").mkdir(parents=True)
    (scratch / "archives/partial").mkdir(parents=True)
    (scratch / "status").touch()
    (scratch / "sources.list").write_text(f"deb [signed-by={_KEYS}] http://deb.debian.org/debian {_SUITE} main\n")
    settings = {
        "Dir::Etc::SourceList": scratch / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": scratch / "lists",
        "Dir::State::Status": scratch / "status",
        "Dir::Cache": scratch,
        "APT::Sandbox::User": "root",
    }
    apt = ["apt-get", "--quiet", *(f"-o{name}={value}" for name, value in settings.items())]
    subprocess.run([*apt, "update"], check=True, stdout=sys.stderr)
    subprocess.run([*apt, "download", _PACKAGE], check=True, stdout=sys.stderr, cwd=scratch)
    [package] = scratch.glob("*.deb")
    subprocess.run(["dpkg", "-x", package, scratch / "root"], check=True)


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
