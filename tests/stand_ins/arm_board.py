"""An ARM board in software: the real aarch64 Python, LiteRT and ONNX Runtime under qemu's user mode.

`python -m tests.stand_ins.arm_board` builds it where it is not there yet, and prints its folder. Building takes root,
debootstrap, qemu-user-static and half a minute; it downloads a Debian and the wheels that a board of its kind would.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

_SUITE, _PYTHON = "bookworm", "3.11"
_PACKAGES = "python3-minimal,libpython3-stdlib"
_WHEELS = (
    "ai-edge-litert==2.3.0",
    "onnxruntime==1.31.1",
    "numpy==2.4.6",
    "tqdm==4.70.1",
    "typing-extensions==4.12.2",
    "flatbuffers==25.12.19",
    "protobuf==7.36.2",
    "pillow==13.0.0",
)
_CPU = "cortex-a76"
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")

# Without it LiteRT and ONNX Runtime, which look for the host's, crash at start.
_CPUINFO = "".join(
    f"""processor\t: {core}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
    for core in range(2)
)
_MODEL = "Emulated Board Model A\0"
_LAUNCHER = """#!/bin/sh
# The emulated board's Python.
export QEMU_LD_PREFIX='{sysroot}' PYTHONPATH='{path}'
exec qemu-aarch64-static -cpu {cpu} -L '{sysroot}' '{sysroot}/usr/bin/python{python}' "$@"
"""


@dataclass(frozen=True, slots=True)
class ArmBoard:
    """A built board: its file system, and a folder of commands that stands in its PATH."""

    sysroot: Path

    @property
    def commands(self) -> Path:
        return self.sysroot / "commands"

    @property
    def python(self) -> Path:
        return self.commands / "python3"

    def add_python(self, commands: Path, *, cpu: str = _CPU, without: Collection[str] = ()) -> Path:
        """A `python3` in another folder of commands: of another CPU that qemu knows, or without some distributions."""
        names = sorted({site.name for site in (self.sysroot / "site").iterdir()} - set(without))
        return _write_python(commands, self.sysroot, names, cpu)


def find() -> Path | None:
    """The board's folder, where it was built before; under MILLIS_REQUIRE_ALL=1 it is built."""
    if os.environ.get("MILLIS_REQUIRE_ALL") == "1":
        return build().sysroot
    board = ArmBoard(_place())
    return board.sysroot if board.python.exists() else None


def build() -> ArmBoard:
    """The board, built where it is not there yet; one process builds, others wait for it."""
    place = _place()
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            scratch = place.with_suffix(".building")
            shutil.rmtree(scratch, ignore_errors=True)  # of a build that was killed
            _bootstrap(scratch)
            _install_wheels(scratch / "site")
            (scratch / "proc/device-tree").mkdir(parents=True)
            (scratch / "proc/device-tree/model").write_text(_MODEL)
            (scratch / "proc/cpuinfo").write_text(_CPUINFO)
            names = sorted(site.name for site in (scratch / "site").iterdir())
            _write_python(scratch / "commands", place, names, _CPU)
            scratch.rename(place)
    return ArmBoard(place)


def _place() -> Path:
    recipe = "\n".join((_SUITE, _PACKAGES, *_WHEELS, _CPUINFO, _MODEL, _LAUNCHER))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    return user_cache_path("millis-tests") / f"arm-board-{digest}"


def _bootstrap(sysroot: Path) -> None:
    """A Debian that is unpacked, not configured: nothing of it ever runs but Python."""
    _run("debootstrap", "--arch=arm64", "--foreign", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, sysroot)
    archives = sysroot / "var/cache/apt/archives"
    for package in archives.glob("*.deb"):
        _run("dpkg", "-x", package, sysroot)
    shutil.rmtree(archives)


def _install_wheels(site: Path) -> None:
    """Each distribution in a folder of its own, so that a board may lack one."""
    wheels = site.with_name("wheels")
    platforms = [f"--platform={platform}" for platform in _PLATFORMS]
    kind = ("--no-deps", "--only-binary=:all:", f"--python-version={_PYTHON}", "--implementation=cp", *platforms)
    _run(sys.executable, "-m", "pip", "download", "--quiet", *kind, f"--dest={wheels}", *_WHEELS)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site / wheel.name.partition("-")[0])
    shutil.rmtree(wheels)


def _write_python(commands: Path, sysroot: Path, names: list[str], cpu: str) -> Path:
    path = ":".join(str(sysroot / "site" / name) for name in names)
    commands.mkdir(parents=True, exist_ok=True)
    launcher = commands / "python3"
    launcher.write_text(_LAUNCHER.format(sysroot=sysroot, path=path, cpu=cpu, python=_PYTHON))
    launcher.chmod(0o755)
    return launcher


def _run(*words: str | Path) -> None:
    done = subprocess.run(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} ended with status {done.returncode}:\n{done.stdout}")


if __name__ == "__main__":
    sys.stdout.write(f"{build().sysroot}\n")
