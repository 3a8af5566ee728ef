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
from deploy.names import problems_of

MAX_FILES = 1_000
MAX_BYTES = 2 * 1024**3
MAX_RATIO = 50  # of what is unpacked to the .zip, as far as it is large: weights hardly compress at all
LARGE_BYTES = 64 * 1024**2

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a .zip can hold; the same for all of ours
_UNIX = 3


def zip_bytes(folder_name: str, files: Mapping[str, bytes]) -> bytes:
    """A .zip with `files` inside one folder. Stored, not deflated: deflate differs between versions of zlib."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(f"{folder_name}/{name}", EPOCH)
            info.create_system = _UNIX
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, files[name])
    return buffer.getvalue()


def extract(path: Path, into: Path) -> Path:
    """Unpack a bundle's .zip and return its one folder.

    Raises BundleError, before anything is written, for names that lead outside, links, duplicates, more than one
    folder, and sizes beyond `MAX_FILES`, `MAX_BYTES` and `MAX_RATIO`; and for an entry that is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            problems = _too_large(archive.infolist(), path.stat().st_size) or _problems(entries)
            if problems:
                raise BundleError(f"{path}: {'; '.join(problems)}; not unpacked")
            for entry in entries:
                _unpack(archive, entry, into, path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise BundleError(f"{path}: not a readable .zip: {error}; fetch it again") from None
    return into / PurePosixPath(entries[0].filename).parts[0]


def require_as_packed(path: Path, folder_name: str, files: Mapping[str, bytes]) -> None:
    """Raise BundleError, naming the part, for a .zip of ours with a byte changed that no reader looks at.

    One that another tool has packed has another size, and is left alone.
    """
    found, packed = path.read_bytes(), zip_bytes(folder_name, files)
    if len(found) != len(packed) or found == packed:
        return
    place = next(i for i, (one, other) in enumerate(zip(found, packed, strict=True)) if one != other)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        parts = {entry.header_offset: entry.filename for entry in archive.infolist()}
        parts[archive.start_dir] = "its list of files"
    part = parts[max(start for start in parts if start <= place)]
    raise BundleError(f"{path}: {part}: byte {place} is not what was packed; fetch the .zip again")


def _too_large(entries: list[zipfile.ZipInfo], packed: int) -> list[str]:
    """First of all, for looking at a million names takes long."""
    unpacked = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_FILES or unpacked > MAX_BYTES:
        largest = max(entries, key=lambda entry: entry.file_size)
        return [f"larger than {MAX_FILES} files or {MAX_BYTES} bytes ({largest.filename!r}: {largest.file_size})"]
    if unpacked > max(LARGE_BYTES, MAX_RATIO * packed):
        return [f"{packed} bytes that unpack to {unpacked}, which no bundle's do"]
    return []


def _problems(entries: list[zipfile.ZipInfo]) -> list[str]:
    names = [entry.filename for entry in entries]
    problems = problems_of(names)
    problems += [f"{entry.filename!r} {reason}" for entry in entries if (reason := _odd(entry))]
    if len({name.split("/")[0] for name in names}) != 1 or not all("/" in name for name in names):
        problems.append("a bundle's .zip holds exactly one folder")
    return problems


def _odd(entry: zipfile.ZipInfo) -> str | None:
    """Why an entry may not stand in a bundle, whatever its name, or None."""
    # No kind: written on a system without Unix modes.
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG}:
        return "is a link or a device"
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return "is compressed in a way that bundles are not"
    return "is encrypted" if entry.flag_bits & 1 else None


def _unpack(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, into: Path, path: Path) -> None:
    target = into / entry.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with archive.open(entry) as source, target.open("wb") as sink:
            shutil.copyfileobj(source, sink)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        raise BundleError(f"{path}: {entry.filename}: cannot be unpacked: {error}; fetch the .zip again") from None
