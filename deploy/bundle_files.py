"""The files of a bundle that a stranger may have made: each is compared with its sum before any is believed."""

from __future__ import annotations

import contextlib
import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.archive import MAX_BYTES, MAX_FILES, extract, require_as_packed
from deploy.errors import BundleError
from deploy.manifest import MANIFEST, FileRecord, Manifest, Model, read_manifest
from deploy.names import problems_of
from deploy.sums import SUMS, checksums, folder_files
from profilers.errors import FileError, MillisError
from profilers.files import sha256_of
from profilers.runtimes import RUNTIMES

_SUM_LINE = re.compile(r"^([0-9a-f]{64})  (.+)$", re.MULTILINE)
_MAX_TEXT_BYTES = 16 * 1024**2  # of the manifest and of the sums, which are read whole before they are believed


@contextlib.contextmanager
def whole_bundle(bundle: Path) -> Iterator[tuple[Path, Manifest]]:
    """The folder of a bundle, or of its unpacked .zip, and its manifest, once every file is what the manifest says.

    Raises BundleError naming every wrong file. Whatever MillisError is raised meanwhile becomes one, the bundle's name
    before it.
    """
    try:
        with _folder_of(bundle) as folder:
            manifest = _checked(folder)
            if folder != bundle:
                require_as_packed(bundle, folder.name, folder_files(folder))
            yield folder, manifest
    except MillisError as error:
        message = str(error)
        raise BundleError(message if message.startswith(str(bundle)) else f"{bundle}: {message}") from None


@contextlib.contextmanager
def _folder_of(bundle: Path) -> Iterator[Path]:
    if bundle.is_dir():
        yield bundle
    elif bundle.is_file():
        with tempfile.TemporaryDirectory(prefix="millis-bundle-") as scratch:
            yield extract(bundle, Path(scratch))
    else:
        raise BundleError("no such bundle; give its folder or its .zip")


def _checked(folder: Path) -> Manifest:
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{MANIFEST}: missing; not a bundle, or not a whole one")
    found = _scan(folder)
    manifest = _manifest(folder)
    problems = _wrong_files(manifest, found) or _wrong_sizes(manifest, found)
    if problems:
        raise BundleError("; ".join(problems))
    return manifest


def _scan(folder: Path) -> dict[str, Path]:
    """Every file by its name in the bundle. Links and devices are refused: they could show files of this machine."""
    entries = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*"))}
    odd = [name for name, path in entries.items() if path.is_symlink() or not (path.is_file() or path.is_dir())]
    if odd:
        raise BundleError("; ".join(f"{name}: a link or a device, not a file" for name in odd))
    files = {name: path for name, path in entries.items() if path.is_file()}
    missing = [name for name in (MANIFEST, SUMS) if name not in files]
    if missing:
        raise BundleError("; ".join(f"{name}: missing" for name in missing) + "; not a bundle, or not a whole one")
    if len(files) > MAX_FILES or sum(path.stat().st_size for path in files.values()) > MAX_BYTES:
        raise BundleError(f"larger than {MAX_FILES} files or {MAX_BYTES} bytes")
    for name in (MANIFEST, SUMS):
        if files[name].stat().st_size > _MAX_TEXT_BYTES:
            raise BundleError(f"{name}: larger than {_MAX_TEXT_BYTES} bytes, which no bundle's is")
    return files


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = read_manifest(folder / MANIFEST)
    except FileError as error:
        raise BundleError(str(error).removeprefix(f"{folder}/")) from None
    if len(manifest.files) > MAX_FILES:
        raise BundleError(f"{MANIFEST}: lists more than {MAX_FILES} files")
    problems = problems_of([MANIFEST, SUMS, *(record.path for record in manifest.files)])
    if problems:
        raise BundleError(f"{MANIFEST}: files: {'; '.join(problems)}")
    listed = {record.path for record in manifest.files}
    for name in _named(manifest):
        if name not in listed:
            raise BundleError(f"{MANIFEST}: names {name!r}, which is not one of its files")
    return manifest


def _named(manifest: Manifest) -> Iterator[str]:
    """Every file that the manifest sends its reader to; of a model that may be a folder, one of its files."""
    yield from (manifest.labels, manifest.example)
    for model in manifest.models:
        yield from (model.golden.inputs.path, model.golden.outputs.path)
        parts = [] if model.runtime in RUNTIMES else _parts(manifest, model)  # whose models are all single files
        yield next((record.path for record in parts), model.path)


def _parts(manifest: Manifest, model: Model) -> list[FileRecord]:
    """The file that a model is, or those in the folder that it is."""
    return [each for each in manifest.files if each.path == model.path or each.path.startswith(f"{model.path}/")]


def _wrong_files(manifest: Manifest, found: Mapping[str, Path]) -> list[str]:
    """`FILE: how it is wrong` for each. Where the checksums contradict the manifest, its list is not believed."""
    digests = {name: sha256_of(path) for name, path in found.items() if name != SUMS}
    manifest_digest = digests.pop(MANIFEST)
    text = found[SUMS].read_bytes().decode(errors="replace")
    sums = {name: digest for digest, name in _SUM_LINE.findall(text)}
    if sums.get(MANIFEST, manifest_digest) != manifest_digest:
        problem = f"{MANIFEST}: its sha256 is not the one in {SUMS}"
        return [problem, *_differences({name: sums[name] for name in sums.keys() - {MANIFEST}}, digests)]
    listed = {record.path: record.sha256 for record in manifest.files}
    problems = _differences(listed, digests)
    if text != checksums({**listed, MANIFEST: manifest_digest}):
        problems.append(f"{SUMS}: does not agree with {MANIFEST}")
    return problems


def _differences(expected: Mapping[str, str], digests: Mapping[str, str]) -> list[str]:
    problems = []
    for name in sorted(expected.keys() | digests.keys()):
        if name not in digests:
            problems.append(f"{name}: missing")
        elif name not in expected:
            problems.append(f"{name}: not listed in {MANIFEST}")
        elif digests[name] != expected[name]:
            problems.append(f"{name}: its sha256 is not the one listed")
    return problems


def _wrong_sizes(manifest: Manifest, found: Mapping[str, Path]) -> list[str]:
    stated = [(record.path, record.size_bytes, found[record.path].stat().st_size) for record in manifest.files]
    for model in manifest.models:
        parts = _parts(manifest, model)
        stated.append((model.path, model.size_bytes, sum(found[part.path].stat().st_size for part in parts)))
    wrong = {name: (told, size) for name, told, size in stated if told != size}
    return [f"{MANIFEST}: lists {name} with {told} bytes, it has {size}" for name, (told, size) in wrong.items()]
