"""A bundle: everything needed to ship one network on one target, in a folder and in a reproducible .zip."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deploy import golden
from deploy.archive import zip_bytes
from deploy.errors import BundleError, PackagerError
from deploy.manifest import (
    MANIFEST,
    MANIFEST_SCHEMA,
    FileRecord,
    Manifest,
    Preprocessing,
    as_document,
    checked,
    manifest_schema,
)
from deploy.mlperf import mlperf_results
from deploy.models import Shipped, golden_inputs, ship
from deploy.names import problems_of
from deploy.packager import BundleContents, Files, Packager
from deploy.sums import SUMS, checksums, sha256
from profilers.files import write_atomic

EXAMPLE = "example.png"
VERIFIER = "verify.py"
RESULTS = "mlperf.json"

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle on disk: its folder and the .zip of the same files beside it."""

    folder: Path
    archive: Path
    manifest: Manifest


def write_bundle(packager: Packager, contents: BundleContents, out_dir: Path) -> Bundle:
    """Write `out_dir/<packager>/` and `<packager>.zip`, whole or not at all; equal contents give equal bytes.

    A bundle of that name is replaced; any other folder there raises BundleError. So does an artifact that changed since
    it was made, one that does not give one output a label, and golden images that `mean` and `std` do not describe.
    Raises PackagerError for variants that are none of the packager's.
    """
    folder, archive = out_dir / packager.name, out_dir / f"{packager.name}.zip"
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: in the way of the bundle and not one itself; move it or choose another place")
    manifest, files = _build(packager, contents, folder)
    try:
        _write(files, folder, archive)
    except OSError as error:
        why = error.strerror or error
        raise BundleError(f"{folder}: cannot be written: {why}; nothing half-written is left, pack it again") from None
    return Bundle(folder=folder, archive=archive, manifest=manifest)


def _write(files: Mapping[str, bytes], folder: Path, archive: Path) -> None:
    """Everything under temporary names first: a full disk changes nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as scratch:
        staging = Path(scratch)
        write_atomic(staging / archive.name, zip_bytes(folder.name, files))
        for name, data in files.items():
            write_atomic(staging / "new" / name, data)
        if folder.exists():
            folder.rename(staging / "old")
        (staging / "new").rename(folder)
        (staging / archive.name).rename(archive)


def _build(packager: Packager, contents: BundleContents, folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    shipped, left_out = ship(packager, contents)
    unlisted = _manifest(packager, contents, shipped)
    unlisted = checked(replace(unlisted, left_out=left_out), folder / MANIFEST)  # before any template reads it
    label = contents.labels[int(shipped[0].outputs[0].argmax())]
    files = _together(
        *(each.files for each in shipped),
        golden_inputs(contents, unlisted.models),
        _data(packager, contents),
        _texts(packager, unlisted, label),
        {RESULTS: _json(mlperf_results(unlisted))},
        packager.more_files(contents, unlisted),
    )
    manifest = checked(replace(unlisted, files=_records(files)), folder / MANIFEST)
    files[MANIFEST] = _json(as_document(manifest))
    files[SUMS] = checksums({name: sha256(data) for name, data in files.items()}).encode()
    return manifest, files


def _together(*parts: Files) -> dict[str, bytes]:
    """Raises PackagerError where a packager gives two files one path, or one that no bundle may hold."""
    named = [each for part in parts for each in part.items()]
    problems = problems_of([MANIFEST, SUMS, *(name for name, _ in named)])
    if problems:
        raise PackagerError(f"{problems[0]}; give it another path in the packager")
    return dict(named)


def _data(packager: Packager, contents: BundleContents) -> Files:
    pixels = golden.pixels_of(contents.golden_images, mean=contents.mean, std=contents.std)
    return {
        packager.labels: "".join(f"{label}\n" for label in contents.labels).encode(),
        EXAMPLE: golden.to_png(pixels[0]),
        MANIFEST_SCHEMA: _json(manifest_schema()),
        VERIFIER: (_TEMPLATES / VERIFIER).read_bytes(),
    }


def _manifest(packager: Packager, contents: BundleContents, shipped: tuple[Shipped, ...]) -> Manifest:
    _, channels, height, width = contents.golden_images.shape
    return Manifest(
        name=contents.name,
        packager=packager.name,
        network=contents.network,
        models=tuple(each.model for each in shipped),
        left_out=(),
        refused=contents.refused,
        max_accuracy_drop=contents.max_accuracy_drop,
        labels=packager.labels,
        example=EXAMPLE,
        preprocessing=Preprocessing(
            height=height,
            width=width,
            channels=channels,
            scale=1 / 255,
            mean=contents.mean,
            std=contents.std,
            resize="fit-bilinear",
        ),
        accuracy=contents.accuracy,
        calibration=contents.calibration,
        data=contents.data,
        versions=dict(sorted(contents.versions.items())),
        files=(),
    )


def _texts(packager: Packager, manifest: Manifest, example_label: str) -> Files:
    """The packager's texts: templates see the manifest (its `files` still empty) and the label of the example."""
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 - Markdown and Kotlin, not HTML
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return {
        name: environment.get_template(source).render(m=manifest, example_label=example_label).encode()
        if source.endswith(".j2")
        else (_TEMPLATES / source).read_bytes()
        for name, source in packager.templates.items()
    }


def _records(files: Mapping[str, bytes]) -> tuple[FileRecord, ...]:
    return tuple(
        FileRecord(path=name, sha256=sha256(files[name]), size_bytes=len(files[name])) for name in sorted(files)
    )


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
