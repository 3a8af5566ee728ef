"""A network of grey images for programs that take RGB ones only: the same LiteRT files with luma inside."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from deploy import golden
from deploy.manifest import Manifest
from deploy.packager import BundleContents, Files
from deploy.tflite_luma import takes_rgb
from deploy.variant import Variant
from profilers.runtimes import load_runtime


def rgb_models(
    contents: BundleContents, manifest: Manifest, folder: str, finished: Callable[[bytes, BundleContents], bytes]
) -> Files:
    """`folder/litert-fp32.tflite` and so on for each model that takes one channel; none where they take three.

    Raises BundleError where one gives for grey RGB images anything but what the model gives for the grey ones.
    """
    if manifest.preprocessing.channels != 1:
        return {}
    files = {}
    for name, variant in contents.variants.items():
        data = finished(takes_rgb(variant.artifact.path.read_bytes()), contents)
        _require_agreement(variant, data, contents)
        files[f"{folder}/{name}.tflite"] = data
    return files


def _require_agreement(variant: Variant, data: bytes, contents: BundleContents) -> None:
    runtime, images = load_runtime(variant.runtime), contents.golden_images
    expected = runtime.run(variant.artifact, images)
    given = variant.artifact.inputs[0]
    rgb = replace(given, shape=(*given.shape[:3], 3))
    with tempfile.TemporaryDirectory(prefix="millis-rgb-") as scratch:
        path = Path(scratch) / f"{variant.name}.tflite"
        path.write_bytes(data)
        found = runtime.run(replace(variant.artifact, path=path, inputs=(rgb,)), images.repeat(3, axis=1))
    what = f"{variant.name}: with luma inside it differs from {variant.artifact.path.name}"
    golden.require_agreement(found, expected, variant.precision, what=what)
