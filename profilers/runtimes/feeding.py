"""Layouts: what a compiled file takes and gives, and feeding it images, one batch of its own size after another."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from profilers.artifact import Artifact, TensorSpec


class LoadedModel(Protocol):
    def feed(self, array: np.ndarray) -> None: ...

    def invoke(self) -> None: ...

    def result(self) -> np.ndarray: ...


def tensor_spec(name: str, shape: tuple[int, ...], *, channels_last: bool = False) -> TensorSpec:
    """An input or output of PyTorch's `shape`: [N, C, H, W], which a file may hold as [N, H, W, C], or [N, classes]."""
    if len(shape) != 4:
        return TensorSpec(name=name, shape=shape, dtype="float32", layout="NC")
    if not channels_last:
        return TensorSpec(name=name, shape=shape, dtype="float32", layout="NCHW")
    batch, channels, height, width = shape
    return TensorSpec(name=name, shape=(batch, height, width, channels), dtype="float32", layout="NHWC")


def run_images(model: LoadedModel, artifact: Artifact, images: np.ndarray) -> np.ndarray:
    """The first output, [N, classes] or [N, C, H, W], for images [N, C, H, W]; N a multiple of the file's batch."""
    batch = artifact.inputs[0].shape[0]
    if len(images) % batch:
        raise ValueError(f"{len(images)} images do not fill batches of {batch}, as {artifact.path.name} takes them")
    if artifact.inputs[0].layout == "NHWC":
        images = images.transpose(0, 2, 3, 1)
    results = []
    for start in range(0, len(images), batch):
        model.feed(np.ascontiguousarray(images[start : start + batch], dtype=np.float32))
        model.invoke()
        results.append(np.array(model.result()))
    result = np.concatenate(results)
    return result.transpose(0, 3, 1, 2) if artifact.outputs[0].layout == "NHWC" else result
