"""Check a bundle on this machine: manifest, every file, preprocessing, golden outputs of every model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import golden
from deploy.bundle_files import whole_bundle
from deploy.errors import BundleError
from deploy.manifest import MANIFEST, Manifest, Model
from profilers.runtimes import RUNTIMES, load_runtime
from profilers.runtimes.refusal import REFUSALS

if TYPE_CHECKING:
    import numpy as np

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

    The golden outputs of a model whose runtime is not on this machine stay unchecked, and the result says so.
    """
    with whole_bundle(bundle) as (folder, manifest):
        size = sum(record.size_bytes for record in manifest.files)
        sums = f"{len(manifest.files)} files, {size:,} bytes, every sha256 and size as listed"
        checks = (
            Check(name="manifest", done=True, detail=f"{manifest.name} for {manifest.packager}"),
            Check(name="files", done=True, detail=sums),
            _check_preprocessing(folder, manifest),
            *(_check_golden(folder, manifest, model) for model in manifest.models),
        )
        return Verification(bundle=bundle, manifest=manifest, checks=checks)


def _check_preprocessing(folder: Path, manifest: Manifest) -> Check:
    """The example image, preprocessed as the manifest says, must be the first golden input in every layout."""
    spec = manifest.preprocessing
    found = golden.read_example(folder / manifest.example, spec)
    for tensor in {model.golden.inputs.path: model.golden.inputs for model in manifest.models}.values():
        expected = golden.from_layout(golden.read_tensor(folder, tensor)[:1], tensor.layout)
        difference = _max_difference(found, expected, f"{MANIFEST}: preprocessing")
        if not difference <= _EXAMPLE_TOLERANCE:
            raise BundleError(
                f"{MANIFEST}: preprocessing turns {manifest.example} into values {difference:.3g} off "
                f"the first of {tensor.path}"
            )
    return Check(name="preprocessing", done=True, detail=f"{manifest.example} becomes the first golden input")


def _check_golden(folder: Path, manifest: Manifest, model: Model) -> Check:
    name = f"golden {model.name}"
    images = golden.from_layout(golden.read_tensor(folder, model.golden.inputs), model.golden.inputs.layout)
    expected = golden.read_tensor(folder, model.golden.outputs)
    labels = len((folder / manifest.labels).read_bytes().splitlines())
    if labels != expected.shape[1]:
        raise BundleError(f"{manifest.labels}: {labels} labels for {expected.shape[1]} outputs of {model.path}")
    if model.runtime not in RUNTIMES and not model.golden.ran:
        told = f"nothing on this machine runs {model.runtime} files; the golden outputs are PyTorch's"
        return Check(name=name, done=False, detail=told)
    try:
        found = _run(folder, model, images)
    except ImportError as error:
        missing = f"{model.runtime} is not installed on this machine ({error}); golden outputs not checked"
        return Check(name=name, done=False, detail=missing)
    difference = _max_difference(found, expected, model.golden.outputs.path)
    figures = f"{len(expected)} images, {model.runtime} off by {difference:.3g} of {model.golden.tolerance:.3g} allowed"
    if not difference <= model.golden.tolerance:
        raise BundleError(f"{model.golden.outputs.path}: not what {model.path} gives here: {figures}")
    return Check(name=name, done=True, detail=figures)


def _run(folder: Path, model: Model, images: np.ndarray) -> np.ndarray:
    runtime = load_runtime(model.runtime)
    try:
        return runtime.run(model.artifact(folder), images)
    except _refusals(model.runtime) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{model.path}: {model.runtime} cannot run it: {reason}") from None


def _refusals(runtime: str) -> tuple[type[Exception], ...]:
    """What comes of a model that a runtime refuses, or of inputs that are none; ONNX Runtime's own have no parent."""
    if runtime != "onnxruntime":
        return REFUSALS
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    own = [kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    return *REFUSALS, *own


def _max_difference(found: np.ndarray, expected: np.ndarray, file: str) -> float:
    if found.shape != expected.shape:
        raise BundleError(f"{file}: shape {list(expected.shape)}, but {list(found.shape)} was found here")
    return float(abs(found - expected).max())
