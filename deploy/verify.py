"""Check a bundle on this machine: manifest, every file, preprocessing, golden outputs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import golden
from deploy.archive import MAX_BYTES, MAX_FILES, extract, unsafe_name
from deploy.bundle import SUMS, checksums
from deploy.errors import BundleError
from deploy.manifest import MANIFEST, Manifest, read_manifest
from profilers.artifact import Artifact
from profilers.errors import FileError, MillisError
from profilers.files import sha256_of
from profilers.runtimes import load_runtime

if TYPE_CHECKING:
    import numpy as np

_SUM_LINE = re.compile(r"^([0-9a-f]{64})  (.+)$", re.MULTILINE)
_EXAMPLE_TOLERANCE = 1e-4  # of a normalised pixel: one grey level is 4e-3 and more


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was checked and what was seen. `done` is False where this machine cannot check it."""

    name: str
    done: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What was checked of a bundle; whatever is wrong raises instead."""

    bundle: Path
    manifest: Manifest
    checks: tuple[Check, ...]

    @property
    def complete(self) -> bool:
        """Whether every check could be done on this machine."""
        return all(check.done for check in self.checks)


def verify(bundle: Path) -> Verification:
    """Check a bundle's folder or .zip; raises BundleError with one line naming every wrong file and what is wrong.

    Without the bundle's runtime on this machine the golden outputs stay unchecked, and the result says so.
    """
    try:
        if bundle.is_dir():
            return _verify(bundle, bundle)
        if bundle.is_file():
            with tempfile.TemporaryDirectory(prefix="millis-verify-") as scratch:
                return _verify(extract(bundle, Path(scratch)), bundle)
    except MillisError as error:
        message = str(error)
        raise BundleError(message if message.startswith(str(bundle)) else f"{bundle}: {message}") from None
    raise BundleError(f"{bundle}: no such bundle; give its folder or its .zip")


def _verify(folder: Path, bundle: Path) -> Verification:
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{MANIFEST}: missing; not a bundle, or not a whole one")
    found = _scan(folder)
    manifest = _manifest(folder)
    problems = _wrong_files(manifest, found)
    if problems:
        raise BundleError("; ".join(problems))
    size = sum(path.stat().st_size for path in found.values())
    checks = (
        Check(name="manifest", done=True, detail=f"{manifest.name} for {manifest.packager}"),
        Check(name="files", done=True, detail=f"{len(found)} files, {size:,} bytes, every sha256 and size as listed"),
        _check_preprocessing(folder, manifest),
        _check_golden(folder, manifest),
    )
    return Verification(bundle=bundle, manifest=manifest, checks=checks)


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
    return files


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = read_manifest(folder / MANIFEST)
    except FileError as error:
        raise BundleError(str(error).removeprefix(f"{folder}/")) from None
    unsafe = [f"{record.path!r} {reason}" for record in manifest.files if (reason := unsafe_name(record.path))]
    if unsafe:
        raise BundleError(f"{MANIFEST}: files: {'; '.join(unsafe)}")
    listed = {record.path for record in manifest.files}
    used = (manifest.model.path, manifest.labels, manifest.example)
    for path in (*used, manifest.golden.inputs.path, manifest.golden.outputs.path):
        if path not in listed:
            raise BundleError(f"{MANIFEST}: names {path!r}, which is not one of its files")
    return manifest


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
    return problems or _wrong_sizes(manifest, found)


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
    sizes = {record.path: found[record.path].stat().st_size for record in manifest.files}
    return [
        f"{MANIFEST}: lists {record.path} with {record.size_bytes} bytes, it has {sizes[record.path]}"
        for record in manifest.files
        if record.size_bytes != sizes[record.path]
    ]


def _check_preprocessing(folder: Path, manifest: Manifest) -> Check:
    """The example image, preprocessed as the manifest says, must be the first golden input."""
    spec, tensor = manifest.preprocessing, manifest.golden.inputs
    expected = golden.from_layout(golden.read_tensor(folder, tensor)[:1], tensor.layout)
    found = golden.read_example(folder / manifest.example, spec)
    difference = _max_difference(found, expected, f"{MANIFEST}: preprocessing")
    if not difference <= _EXAMPLE_TOLERANCE:
        raise BundleError(
            f"{MANIFEST}: preprocessing turns {manifest.example} into values {difference:.3g} off "
            f"the first of {tensor.path}"
        )
    return Check(name="preprocessing", done=True, detail=f"{manifest.example} becomes the first golden input")


def _check_golden(folder: Path, manifest: Manifest) -> Check:
    inputs, outputs, tolerance = manifest.golden.inputs, manifest.golden.outputs, manifest.golden.tolerance
    images = golden.from_layout(golden.read_tensor(folder, inputs), inputs.layout)
    expected = golden.read_tensor(folder, outputs)
    labels = len((folder / manifest.labels).read_bytes().splitlines())
    if labels != expected.shape[1]:
        raise BundleError(f"{manifest.labels}: {labels} labels for {expected.shape[1]} logits")
    name = manifest.measured.runtime
    try:
        found = _run(folder, manifest, images)
    except ImportError as error:
        missing = f"{name} is not installed on this machine ({error}); golden outputs not checked"
        return Check(name="golden", done=False, detail=missing)
    difference = _max_difference(found, expected, outputs.path)
    figures = f"{len(expected)} images, {name} off by {difference:.3g} of {tolerance:.3g} allowed"
    if not difference <= tolerance:
        raise BundleError(f"{outputs.path}: not what {manifest.model.path} gives here: {figures}")
    return Check(name="golden", done=True, detail=figures)


def _run(folder: Path, manifest: Manifest, images: np.ndarray) -> np.ndarray:
    model = manifest.model
    artifact = Artifact.of(folder / model.path, format=model.format, inputs=model.inputs, outputs=model.outputs)
    try:
        return load_runtime(manifest.measured.runtime).run(artifact, images)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{model.path}: {manifest.measured.runtime} cannot run it: {reason}") from None


def _max_difference(found: np.ndarray, expected: np.ndarray, file: str) -> float:
    if found.shape != expected.shape:
        raise BundleError(f"{file}: shape {list(expected.shape)}, but {list(found.shape)} was found here")
    return float(abs(found - expected).max())
