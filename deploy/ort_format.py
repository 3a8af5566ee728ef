"""ONNX Runtime's own form of a model, .ort, and the list of operators that a reduced build of it needs.

A minimal build reads no .onnx files: https://onnxruntime.ai/docs/build/custom.html. Without optimisations that hold
for one kind of processor only, the files run on all.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deploy import golden
from deploy.manifest import Manifest
from deploy.ort_order import ordered
from deploy.packager import BundleContents, Files
from deploy.variant import Variant
from profilers.runtimes import load_runtime

if TYPE_CHECKING:
    import numpy as np


def ort_files(contents: BundleContents, manifest: Manifest, folder: str) -> Files:
    """The .ort form of each ONNX model, and the one list of what they need, for a folder of the bundle.

    Raises BundleError where one of them does not compute what its .onnx file does.
    """
    variants = contents.variants
    models = {
        PurePosixPath(model.path).stem: variants[model.name] for model in manifest.models if model.format == "onnx"
    }
    with tempfile.TemporaryDirectory(prefix="millis-ort-") as scratch:
        made = _converted(models, Path(scratch))
        for name, variant in models.items():
            _require_agreement(variant, made / f"{name}.ort", contents.golden_images)
        return {f"{folder}/{path.name}": _portable(path) for path in sorted(made.iterdir())}


def _converted(models: Mapping[str, Variant], scratch: Path) -> Path:
    given, made = scratch / "onnx", scratch / "ort"
    given.mkdir()
    for name, variant in models.items():
        (given / f"{name}.onnx").write_bytes(variant.artifact.path.read_bytes())
    with _quiet():
        from onnxruntime.tools.convert_onnx_models_to_ort import OptimizationStyle, convert_onnx_models_to_ort

        convert_onnx_models_to_ort(
            given, output_dir=made, optimization_styles=[OptimizationStyle.Fixed], enable_type_reduction=True
        )
    for path in made.glob("*.ort"):
        path.write_bytes(ordered(path.read_bytes()))
    return made


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The converter prints, sets up logging for the whole process, and leaves a file to the garbage collector."""
    handlers, hidden = logging.root.handlers[:], io.StringIO()
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(hidden), contextlib.redirect_stderr(hidden):
            warnings.simplefilter("ignore", ResourceWarning)
            yield
    finally:
        logging.root.handlers[:] = handlers


def _require_agreement(variant: Variant, ort: Path, images: np.ndarray) -> None:
    runtime = load_runtime(variant.runtime)
    expected = runtime.run(variant.artifact, images)
    found = runtime.run(replace(variant.artifact, path=ort), images)
    what = f"{ort.name}: differs from {variant.artifact.path.name}"
    golden.require_agreement(found, expected, variant.precision, what=what)


def _portable(path: Path) -> bytes:
    """A model as it is; the list of operators without the paths of this machine."""
    data = path.read_bytes()
    if path.suffix == ".ort":
        return data
    return b"".join(line for line in data.splitlines(keepends=True) if not line.startswith(b"#"))
