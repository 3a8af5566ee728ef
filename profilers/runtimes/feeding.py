"""Feeding images to a loaded model, one batch of its own size after another, in its own layout."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from profilers.artifact import Artifact


class LoadedModel(Protocol):
    def feed(self, array: np.ndarray) -> None: ...

    def invoke(self) -> None: ...

    def result(self) -> np.ndarray: ...


def run_images(model: LoadedModel, artifact: Artifact, images: np.ndarray) -> np.ndarray:
    """The first output for images [N, C, H, W]; N must be a multiple of the artifact's batch. Returns [N, ...]."""
    spec = artifact.inputs[0]
    batch = spec.shape[0]
    if len(images) % batch:
        raise ValueError(f"{len(images)} images do not fill batches of {batch}, the size {artifact.path.name} was built for")
    if spec.layout == "NHWC":
        images = images.transpose(0, 2, 3, 1)
    results = []
    for start in range(0, len(images), batch):
        model.feed(np.ascontiguousarray(images[start : start + batch], dtype=np.float32))
        model.invoke()
        results.append(np.array(model.result()))
    return np.concatenate(results)
