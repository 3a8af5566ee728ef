"""Packagers: what a network is shipped as. Each is a module whose PACKAGER says what its bundles look like."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import cast

from deploy.bundle import Bundle, write_bundle
from deploy.errors import PackagerError
from deploy.packager import BundleContents, Packager

# Name of a packager -> the module whose PACKAGER it is.
PACKAGERS = {
    "android": "deploy.packagers.android",
    "ios": "deploy.packagers.ios",
    "web": "deploy.packagers.web",
    "linux": "deploy.packagers.linux",
    "server-cpu": "deploy.packagers.server_cpu",
    "server-gpu": "deploy.packagers.server_gpu",
}


def load_packager(name: str) -> Packager:
    """The packager of that name; raises PackagerError where there is none."""
    if name not in PACKAGERS:
        raise PackagerError(f"packager {name!r}: there is none; there are: {', '.join(PACKAGERS)}")
    return cast(Packager, import_module(PACKAGERS[name]).PACKAGER)


def pack(name: str, contents: BundleContents, out_dir: Path) -> Bundle:
    """Write the bundle `out_dir/name/` and `out_dir/name.zip`; raises PackagerError and BundleError."""
    return write_bundle(load_packager(name), contents, out_dir)
