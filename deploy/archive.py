"""The .zip of a bundle: written so that equal files give equal bytes, read as if a stranger had written it."""

from __future__ import annotations

import io
import shutil
import stat
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from deploy.errors import BundleError

MAX_FILES = 1_000
MAX_BYTES = 2 * 1024**3

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a .zip can hold; the same for every bundle
_UNIX = 3


def zip_bytes(folder_name: str, files: Mapping[str, bytes]) -> bytes:
    """A .zip with `files` inside one folder. Stored, not deflated: deflate differs between versions of zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(f"{folder_name}/{name}", _EPOCH)
            info.create_system = _UNIX
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()


def extract(path: Path, into: Path) -> Path:
    """Unpack a bundle's .zip and return its one folder.

    Raises BundleError, before anything is written, for names that lead outside, links, duplicates, more than one folder
    and sizes beyond `MAX_FILES` and `MAX_BYTES`; and for an entry whose checksum is wrong.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            problems = _problems(entries)
            if problems:
                raise BundleError(f"{path}: {'; '.join(problems)}; not unpacked")
            for entry in entries:
                _unpack(archive, entry, into, path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise BundleError(f"{path}: not a readable .zip: {error}; fetch it again") from None
    return into / PurePosixPath(entries[0].filename).parts[0]


def unsafe_name(name: str) -> str | None:
    """Why a name may not stand in a bundle, or None: only plain relative paths with forward slashes may."""
    parts = name.split("/")
    if name.startswith("/") or ":" in name or "\\" in name or not name.isprintable():
        return "is not a plain relative path"
    if any(part in {"", ".", ".."} for part in parts):
        return "leads outside the bundle or is not in its shortest form"
    return None


def _problems(entries: list[zipfile.ZipInfo]) -> list[str]:
    names = [entry.filename for entry in entries]
    problems = [f"{name!r} {reason}" for name in names if (reason := unsafe_name(name))]
    problems += [f"{entry.filename!r} is a link or a device" for entry in entries if not _is_regular(entry)]
    problems += [f"{name!r} stands in it twice" for name in sorted(set(names)) if names.count(name) > 1]
    if len({name.split("/")[0] for name in names}) != 1 or not all("/" in name for name in names):
        problems.append("a bundle's .zip holds exactly one folder")
    if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_BYTES:
        problems.append(f"larger than {MAX_FILES} files or {MAX_BYTES} bytes")
    return problems


def _is_regular(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    return kind in {0, stat.S_IFREG}  # 0: written on a system without Unix modes


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path, path: Path) -> None:
    target = into / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(entry) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: encrypted
        raise BundleError(f"{path}: {entry.filename}: cannot be unpacked: {error}; fetch the .zip again") from None
