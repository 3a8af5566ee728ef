"""Core ML: an ML program that takes an image and tells a label, as iPhones' Vision takes it. Nothing here runs one."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.sums import folder_files, folder_sha256, sha256
from profilers.artifact import Artifact
from profilers.errors import CompileError
from profilers.runtimes.feeding import tensor_spec
from profilers.runtimes.refusal import REFUSALS, refusal

if TYPE_CHECKING:
    from torch import Tensor, nn

IMAGE, LABEL = "image", "classLabel"  # Core ML's own names
PROBABILITIES = f"{LABEL}_probs"  # coremltools' rule

_SPECIFICATION = "Data/com.apple.CoreML/model.mlmodel"
_MANIFEST = "Manifest.json"
_DEBUGGING = "executorch_debug_handle_mapping.json"
_DATE = "com.github.apple.coremltools.conversion_date"
_ITEMS = uuid.UUID("3c1d0f6e-5d0a-5b0e-9a4e-6d696c6c6973")  # the namespace of the items' identifiers


def compile_coreml(
    module: nn.Module, example: Tensor, path: Path, *, labels: Sequence[str], mean: float, std: float
) -> Artifact:
    """Convert a module that gives probabilities to an ML program in half precision, for iOS 15 and newer.

    `example` is [1, C, H, W]: one channel makes a grey image of the input, three an RGB one. The normalisation
    `(pixel/255 - mean) / std` is inside. `path` is the .mlpackage, a folder, replaced where it exists; the same network
    gives the same bytes. Raises ImportError without coremltools; CompileError with the converter's own words, and for a
    label that is there twice: Core ML tells probabilities by label.
    """
    twice = sorted({label for label in labels if list(labels).count(label) > 1})
    if twice:
        raise CompileError(f"{path.name}: label {twice[0]!r} is there twice; Core ML tells probabilities by label")
    with _quiet():
        model = _converted(module, example, list(labels), mean=mean, std=std)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
            package = Path(scratch) / "new.mlpackage"
            model.save(str(package))
            _settle(package)
            if path.exists():
                path.rename(Path(scratch) / "old")
            package.rename(path)
    return coreml_artifact(path, shape=tuple(example.shape), classes=len(labels))


def coreml_artifact(path: Path, *, shape: tuple[int, ...], classes: int) -> Artifact:
    """The artifact of an .mlpackage that lies on disk, which takes images of `shape` [1, C, H, W]."""
    files = folder_files(path)
    return Artifact(
        path=path,
        format="mlpackage",
        inputs=(tensor_spec(IMAGE, shape),),
        outputs=(tensor_spec(PROBABILITIES, (1, classes)),),
        size_bytes=sum(map(len, files.values())),
        sha256=folder_sha256(files),
    )


def _converted(module: nn.Module, example: Tensor, labels: list[str], *, mean: float, std: float) -> Any:
    import coremltools as ct
    import torch
    from coremltools.converters.mil.mil import Builder

    from profilers.blocks import folded

    Builder.name_count.clear()  # which what was read or refused before goes on counting
    try:
        program = torch.export.export(folded(module), (example,)).run_decompositions(
            # The converter would put an operation of its own before each.
            {torch.ops.aten.hardswish.default: lambda x: x * torch.nn.functional.hardsigmoid(x)}
        )
        model = ct.convert(
            program,
            inputs=[_image(tuple(example.shape), mean=mean, std=std)],
            classifier_config=ct.ClassifierConfig(labels, predicted_feature_name=LABEL),
            convert_to="mlprogram",
            compute_precision=ct.precision.FLOAT16,
            minimum_deployment_target=ct.target.iOS15,
            skip_model_load=True,
        )
    except REFUSALS as error:
        raise refusal("coremltools.convert", error) from error
    model.short_description = "Classifies an image. Made by millis."
    model.input_description[IMAGE] = "The image; its normalisation is inside"
    model.output_description[LABEL] = "The most probable label"
    model.output_description[PROBABILITIES] = "The probability of each label"
    return model


def _image(shape: tuple[int, ...], *, mean: float, std: float) -> Any:
    """An image of `shape` [1, C, H, W], from whose pixels the normalisation is made inside."""
    import coremltools as ct

    grey = shape[1] == 1
    return ct.ImageType(
        name=IMAGE,
        shape=shape,
        scale=1 / (255 * std),
        bias=-mean / std if grey else [-mean / std] * 3,
        color_layout=ct.colorlayout.GRAYSCALE if grey else ct.colorlayout.RGB,
    )


def _settle(package: Path) -> None:
    """Take out what differs from run to run: debug handles, the date, the items' random identifiers."""
    from coremltools.proto.Model_pb2 import Model

    (package / _DEBUGGING).unlink(missing_ok=True)
    file = package / _SPECIFICATION
    specification = Model.FromString(file.read_bytes())
    specification.description.metadata.userDefined.pop(_DATE, None)
    file.write_bytes(specification.SerializeToString(deterministic=True))
    manifest = json.loads((package / _MANIFEST).read_text())
    items = manifest["itemInfoEntries"]
    names = {old: _identifier(package / "Data" / item["path"]) for old, item in items.items()}
    settled = {
        **manifest,
        "itemInfoEntries": {names[old]: item for old, item in items.items()},
        "rootModelIdentifier": names[manifest["rootModelIdentifier"]],
    }
    (package / _MANIFEST).write_text(json.dumps(settled, indent=4, sort_keys=True) + "\n")


def _identifier(item: Path) -> str:
    digest = folder_sha256(folder_files(item)) if item.is_dir() else sha256(item.read_bytes())
    return str(uuid.uuid5(_ITEMS, digest)).upper()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converter warns of versions it was not tested with, and of a Mac that is not there; it draws bars."""
    logger = logging.getLogger("coremltools")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
