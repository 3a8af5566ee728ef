"""The manifest of a bundle: what it holds, how to feed it, and how each of its numbers was obtained."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, MinLen

from deploy.kind import Kind
from deploy.parity import Parity
from profilers.artifact import Artifact, Format, Layout, TensorSpec
from profilers.files import check, read_json
from profilers.precision import Precision

# 1: one fp32 model. 2: several models, each with what was found of it and the groups of devices that it is for, those
#    that were left out or could not be made, and what int8 was calibrated on
SCHEMA = 2

MANIFEST = "manifest.json"
MANIFEST_SCHEMA = "manifest.schema.json"

_KIND = "bundle manifest"
_Z95 = 1.959963984540054  # two-sided 95 % of the normal distribution

Positive = Annotated[float, Gt(0)]
Count = Annotated[int, Ge(1), Le(2**53)]  # what every reader of JSON can hold
Fraction = Annotated[float, Ge(0), Le(1)]
Text = Annotated[str, MinLen(1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """The network that was chosen: one label for each decision of its space."""

    space: Text
    choices: dict[str, str]
    params: Count
    macs: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From an image to a model's input: `(pixel * scale - mean) / std`, one mean and one std for all channels.

    `channels` 3 is RGB, 1 is luma (ITU-R 601). `resize` "fit-bilinear" cuts the largest centred part with the ratio of
    height and width and resizes it with Pillow's BILINEAR, a triangle filter as wide as the reduction: no aliasing.
    """

    height: Count
    width: Count
    channels: Literal[1, 3]
    scale: Positive
    mean: float
    std: Positive
    resize: Literal["fit-bilinear"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenTensor:
    """Raw little-endian float32 values of all golden images, one after another."""

    path: Text
    shape: tuple[Count, ...]
    layout: Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """Inputs as a model takes them and the outputs it gave; `tolerance` is the largest difference of an output.

    `ran` is False where nothing on the packing machine runs the model: then the outputs are PyTorch's.
    """

    inputs: GoldenTensor
    outputs: GoldenTensor
    tolerance: Positive
    ran: bool = True

    def __post_init__(self) -> None:
        if len(self.inputs.shape) != 4 or len(self.outputs.shape) != 2:
            raise ValueError("inputs have four sizes and outputs two, images first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Latency of a compiled file, with everything needed to know what the number means."""

    target: Text
    runtime: Text
    runtime_version: Text
    threads: Count
    precision: Text
    budget_ms: Positive
    predicted_ms: Positive | None  # None where no table of this precision tells
    measured_ms: Positive  # median of the burst medians, or what else counts under the protocol
    p90_ms: Positive
    spread: Annotated[float, Ge(0)]  # interquartile range of the burst medians, relative to their median
    samples: Count
    protocol: Text  # how it was measured, in words
    device: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accuracy:
    """Images given their right class, and the 95 % Wilson score interval of that fraction."""

    correct: Annotated[int, Ge(0)]
    images: Count
    top1: Fraction
    low_95: Fraction
    high_95: Fraction

    @staticmethod
    def of(*, correct: int, images: int) -> Accuracy:
        low, high = wilson_interval(correct, images)
        return Accuracy(correct=correct, images=images, top1=correct / images, low_95=low, high_95=high)


Answers = Literal["logits", "probabilities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A compiled file that the bundle ships, what goes in and out of it, and what was found of it.

    Inputs and outputs are float32 in every precision. `accuracy` is of this very file on the test images, `validation`
    on those by which its precision was chosen; both are None, as is `parity`, where nothing here runs the file.
    """

    path: Text
    runtime: Text
    format: Format
    precision: Precision
    size_bytes: Count
    inputs: Annotated[tuple[TensorSpec, ...], MinLen(1)]
    outputs: Annotated[tuple[TensorSpec, ...], MinLen(1)]
    answers: Answers
    golden: Golden
    parity: Parity | None
    validation: Accuracy | None
    accuracy: Accuracy | None
    measured: tuple[Measured, ...]  # on each target, the one that its precision was chosen for first
    reason: Text  # why it is shipped
    groups: dict[str, str] = field(default_factory=dict)  # of devices that get this one as theirs -> why

    @property
    def name(self) -> str:
        return Kind(self.runtime, self.precision).name

    def artifact(self, folder: Path) -> Artifact:
        """The file in a bundle's folder."""
        return Artifact.of(folder / self.path, format=self.format, inputs=self.inputs, outputs=self.outputs)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A precision that was built and is not shipped, with what was found of it and why."""

    runtime: Text
    precision: Precision
    size_bytes: Count
    validation: Accuracy | None
    measured: tuple[Measured, ...]
    reason: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A precision that could not be built: what its converter said."""

    runtime: Text
    precision: Precision
    reason: Text

    @property
    def name(self) -> str:
        return Kind(self.runtime, self.precision).name


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The images that int8 takes its ranges from, as in 128 `of those that the weights were trained on`."""

    images: Count
    description: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """The data that the network was trained and tested on."""

    name: Text
    description: str
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRecord:
    """One file of the bundle; `path` is relative, with forward slashes."""

    path: Text
    sha256: Text
    size_bytes: Annotated[int, Ge(0)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything a program needs to use and check a bundle. `files` lists all but the manifest and the checksums.

    The first of `models` is the one to use; the others are for other runtimes and devices, `groups` of them where the
    bundle brings each its own.
    """

    # The root's setting holds for every record inside.
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid", "allow_inf_nan": False}

    name: Text
    packager: Text
    network: Network
    models: Annotated[tuple[Model, ...], MinLen(1)]
    left_out: tuple[LeftOut, ...]
    refused: tuple[Refused, ...]
    max_accuracy_drop: Annotated[float, Ge(0)]  # points of validation accuracy that a precision may lose against fp32
    labels: Text
    example: Text
    preprocessing: Preprocessing
    accuracy: Accuracy  # of the trained network in PyTorch, on the test images
    calibration: Calibration | None  # None where nothing was made int8
    data: Data | None
    versions: dict[str, str]
    files: tuple[FileRecord, ...]

    @property
    def model(self) -> Model:
        """The one to use."""
        return self.models[0]


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """95 % score interval of a fraction (Wilson 1927): unlike the normal one it neither leaves 0..1 nor collapses."""
    if not 0 <= correct <= images or images < 1:
        raise ValueError(f"{correct} correct of {images} images is no fraction")
    fraction, z2 = correct / images, _Z95**2
    centre = fraction + z2 / (2 * images)
    half = _Z95 * math.sqrt(fraction * (1 - fraction) / images + z2 / (4 * images**2))
    low, high = ((centre + side * half) / (1 + z2 / images) for side in (-1, 1))
    return max(0.0, min(low, fraction)), min(1.0, max(high, fraction))


def as_document(manifest: Manifest) -> dict[str, Any]:
    """The manifest as it stands in its JSON file."""
    return {"schema": SCHEMA, **asdict(manifest)}


def read_manifest(path: Path) -> Manifest:
    """Read a manifest; raises FileError naming file and field."""
    return read_json(path, Manifest, kind=_KIND, schema=SCHEMA)


def checked(manifest: Manifest, path: Path) -> Manifest:
    """The manifest as a reader of `path` would see it; raises FileError where a field is not what it says."""
    return check(as_document(manifest), Manifest, path=path, kind=_KIND, schema=SCHEMA)


def manifest_schema() -> dict[str, Any]:
    """The JSON schema of the manifest's file."""
    from pydantic import TypeAdapter

    schema = TypeAdapter(Manifest).json_schema()
    schema["properties"] = {"schema": {"const": SCHEMA, "title": "Schema"}, **schema["properties"]}
    schema["required"] = ["schema", *schema["required"]]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
