"""A bundle: everything needed to ship one network on one target, in a folder and in a reproducible .zip."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import golden
from deploy.archive import zip_bytes
from deploy.errors import BundleError
from deploy.manifest import (
    MANIFEST,
    MANIFEST_SCHEMA,
    Accuracy,
    Data,
    FileRecord,
    Golden,
    GoldenTensor,
    Manifest,
    Measured,
    Model,
    Network,
    Preprocessing,
    as_document,
    checked,
    manifest_schema,
)
from deploy.parity import Parity
from profilers.artifact import Artifact, Format
from profilers.files import write_atomic
from profilers.runtimes import load_runtime

if TYPE_CHECKING:
    import numpy as np

SUMS = "SHA256SUMS"
EXAMPLE = "example.png"

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_GOLDEN_IMAGES = range(4, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packager:
    """What the bundles of one kind of target look like. Paths are relative to the bundle, with forward slashes."""

    name: str
    format: Format  # of the compiled file that it ships
    model: str
    labels: str
    golden_inputs: str
    golden_outputs: str
    templates: Mapping[str, str]  # file of the bundle -> file under templates/; those that end in .j2 are rendered


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleContents:
    """Everything a packager needs. Raises BundleError for what no bundle can be made of."""

    name: str
    artifact: Artifact
    labels: tuple[str, ...]
    mean: float  # of (pixel/255 - mean) / std, for all channels
    std: float
    golden_images: np.ndarray  # 4 to 8 real images, normalised, fp32 [N, C, H, W]
    network: Network
    measured: Measured  # of `artifact`, by the runtime that it names
    accuracy: Accuracy
    parity: Parity
    versions: dict[str, str]  # tool -> version
    data: Data | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise BundleError(f"bundle name {self.name!r}: write letters, digits, dots, dashes and underscores")
        if any(not label.strip() or not label.isprintable() for label in self.labels):
            raise BundleError(f"bundle {self.name}: every label must be one line of text that is not blank")
        if len(self.golden_images) not in _GOLDEN_IMAGES:
            raise BundleError(f"bundle {self.name}: {len(self.golden_images)} golden images; give 4 to 8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A bundle on disk: its folder and the .zip of the same files beside it."""

    folder: Path
    archive: Path
    manifest: Manifest


def write_bundle(packager: Packager, contents: BundleContents, out_dir: Path) -> Bundle:
    """Write `out_dir/<packager>/` and `<packager>.zip`, whole or not at all; equal contents give equal bytes.

    A bundle of that name is replaced; any other folder there raises BundleError. So does an artifact that changed since
    it was made, one that does not give one logit a label, and golden images that `mean` and `std` do not describe.
    """
    folder, archive = out_dir / packager.name, out_dir / f"{packager.name}.zip"
    if folder.exists() and not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: in the way of the bundle and not one itself; move it or choose another place")
    manifest, files = _build(packager, contents, folder)
    out_dir.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(dir=out_dir, prefix=f".{packager.name}."))
    try:
        write_atomic(staging / archive.name, zip_bytes(packager.name, files))
        for name, data in files.items():
            write_atomic(staging / "new" / name, data)
        if folder.exists():
            folder.rename(staging / "old")
        (staging / "new").rename(folder)
        (staging / archive.name).rename(archive)
    finally:
        shutil.rmtree(staging)
    return Bundle(folder=folder, archive=archive, manifest=manifest)


def checksums(digests: Mapping[str, str]) -> str:
    """The text of SHA256SUMS, as sha256sum(1) writes and reads it."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))


def _build(packager: Packager, contents: BundleContents, folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    outputs = _golden_outputs(contents)
    files = _payload(packager, contents, outputs)
    unlisted = _manifest(packager, contents, outputs, ())
    files |= _texts(packager, unlisted, contents.labels[int(outputs[0].argmax())])
    manifest = checked(_manifest(packager, contents, outputs, _records(files)), folder / MANIFEST)
    files[MANIFEST] = _json(as_document(manifest))
    files[SUMS] = checksums({name: _sha256(data) for name, data in files.items()}).encode()
    return manifest, files


def _golden_outputs(contents: BundleContents) -> np.ndarray:
    artifact = contents.artifact
    outputs = load_runtime(contents.measured.runtime).run(artifact, contents.golden_images)
    expected = (len(contents.golden_images), len(contents.labels))
    if outputs.shape != expected:
        raise BundleError(
            f"{artifact.path.name}: gives {list(outputs.shape)} for {expected[0]} images and {expected[1]} labels; "
            "give one label for each logit"
        )
    return outputs


def _payload(packager: Packager, contents: BundleContents, outputs: np.ndarray) -> dict[str, bytes]:
    artifact, images = contents.artifact, contents.golden_images
    model = artifact.path.read_bytes()
    if _sha256(model) != artifact.sha256:
        raise BundleError(f"{artifact.path}: changed since it was exported; export it again")
    pixels = golden.pixels_of(images, mean=contents.mean, std=contents.std)
    return {
        packager.model: model,
        packager.labels: "".join(f"{label}\n" for label in contents.labels).encode(),
        packager.golden_inputs: golden.to_bytes(golden.to_layout(images, artifact.inputs[0].layout)),
        packager.golden_outputs: golden.to_bytes(outputs),
        EXAMPLE: golden.to_png(pixels[0]),
        MANIFEST_SCHEMA: _json(manifest_schema()),
    }


def _manifest(
    packager: Packager, contents: BundleContents, outputs: np.ndarray, files: tuple[FileRecord, ...]
) -> Manifest:
    artifact = contents.artifact
    return Manifest(
        name=contents.name,
        packager=packager.name,
        network=contents.network,
        model=Model(path=packager.model, format=artifact.format, inputs=artifact.inputs, outputs=artifact.outputs),
        labels=packager.labels,
        example=EXAMPLE,
        preprocessing=_preprocessing(contents),
        golden=_golden(packager, contents, outputs),
        measured=contents.measured,
        accuracy=contents.accuracy,
        parity=contents.parity,
        data=contents.data,
        versions=dict(sorted(contents.versions.items())),
        files=files,
    )


def _preprocessing(contents: BundleContents) -> Preprocessing:
    _, channels, height, width = contents.golden_images.shape
    return Preprocessing(
        height=height,
        width=width,
        channels=channels,
        scale=1 / 255,
        mean=contents.mean,
        std=contents.std,
        layout=contents.artifact.inputs[0].layout,
        dtype="float32",
        resize="fit-bilinear",
    )


def _golden(packager: Packager, contents: BundleContents, outputs: np.ndarray) -> Golden:
    layout = contents.artifact.inputs[0].layout
    shape = golden.to_layout(contents.golden_images, layout).shape
    return Golden(
        inputs=GoldenTensor(path=packager.golden_inputs, shape=shape, layout=layout),
        outputs=GoldenTensor(path=packager.golden_outputs, shape=outputs.shape, layout="NC"),
        tolerance=golden.GOLDEN_TOLERANCE * float(abs(outputs).max()),
    )


def _texts(packager: Packager, manifest: Manifest, example_label: str) -> dict[str, bytes]:
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
        FileRecord(path=name, sha256=_sha256(files[name]), size_bytes=len(files[name])) for name in sorted(files)
    )


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
