"""The runtimes of a browser: npm packages, pinned by `web/package-lock.json`, installed once into the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from profilers.errors import DeviceError

PAGE = Path(__file__).with_name("page")  # the page, and which packages it runs
INSTALL = "millis setup browser"

# What of each package a page loads; npm brings more.
_FILES = {
    "@litertjs/core": (
        "dist/index.js",
        *(
            f"wasm/litert_wasm_{variant}internal.{kind}"
            for variant in ("", "compat_", "threaded_")
            for kind in ("js", "wasm")
        ),
    ),
    "@litertjs/wasm-utils": ("dist/index.js",),
    "onnxruntime-web": (
        *(f"dist/ort.{backend}.min.mjs" for backend in ("wasm", "webgpu")),
        *(f"dist/ort-wasm-simd-threaded{variant}.{kind}" for variant in ("", ".asyncify") for kind in ("mjs", "wasm")),
    ),
}
PACKAGES = {"litert": "@litertjs/core", "onnxruntime": "onnxruntime-web"}


def library_files() -> tuple[str, ...]:
    """Every file that a page loads, by its place: `@litertjs/core/dist/index.js`."""
    return tuple(f"{package}/{file}" for package, files in _FILES.items() for file in files)


def library_version(runtime: str) -> str:
    """The package that computes for a runtime, with its version: `onnxruntime-web 1.30.0`."""
    lock = json.loads((PAGE / "package-lock.json").read_text())
    package = PACKAGES[runtime]
    return f"{package} {lock['packages'][f'node_modules/{package}']['version']}"


def libraries() -> Path:
    """Where the files are or would be: a folder of their own for each lock file."""
    from platformdirs import user_cache_path

    lock = hashlib.sha256((PAGE / "package-lock.json").read_bytes()).hexdigest()[:16]
    return Path(os.environ.get("MILLIS_CACHE") or user_cache_path("millis")) / "web-runtimes" / lock


def installed() -> bool:
    return libraries().is_dir()


def require_installed() -> Path:
    """Where the files are; raises DeviceError naming the command that installs them."""
    if not installed():
        raise DeviceError(f"the browser's runtimes are not installed: {INSTALL}")
    return libraries()


def install() -> Path:
    """Have npm fetch the packages of the lock file, whole or not at all. Raises DeviceError in npm's own words."""
    final = libraries()
    if installed():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=final.parent, prefix=".installing-") as folder:
        scratch = Path(folder)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PAGE / name, scratch)
        _npm_ci(scratch)
        chosen = scratch / "chosen"
        for file in library_files():
            (chosen / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(scratch / "node_modules" / file, chosen / file)
        _rename(chosen, final)
    return final


def _npm_ci(folder: Path) -> None:
    """Install exactly what the lock file names, each package checked against its hash, none of their scripts run."""
    npm = shutil.which("npm")
    if npm is None:
        raise DeviceError("npm is not on this machine: install Node.js (apt-get install npm), then " + INSTALL)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line.removeprefix("npm error ") for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise DeviceError(f"npm ci failed with status {done.returncode}: {' '.join(told[:3]) or 'no reason given'}")


def _rename(chosen: Path, final: Path) -> None:
    try:
        chosen.rename(final)
    except OSError:  # another process installed meanwhile
        if not final.is_dir():
            raise
