"""Layouts and number formats: what a compiled file takes and gives, and feeding it images batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from profilers.artifact import Artifact, Layout, Quantization, TensorSpec


class LoadedModel(Protocol):
    def feed(self, *arrays: np.ndarray) -> None: ...

    def invoke(self) -> None: ...

    def result(self) -> np.ndarray: ...


def tensor_spec(
    name: str,
    shape: tuple[int, ...],
    *,
    channels_last: bool = False,
    dtype: str = "float32",
    quantization: Quantization | None = None,
) -> TensorSpec:
    """An input or output of PyTorch's `shape`: [N, C, H, W], which a file may hold as [N, H, W, C], or [N, classes]."""
    layout: Layout = "NC"
    if len(shape) == 4:
        batch, channels, height, width = shape
        shape = (batch, height, width, channels) if channels_last else shape
        layout = "NHWC" if channels_last else "NCHW"
    return TensorSpec(name=name, shape=shape, dtype=dtype, layout=layout, quantization=quantization)


def run_images(model: LoadedModel, artifact: Artifact, images: np.ndarray) -> np.ndarray:
    """The first output, fp32 [N, classes] or [N, C, H, W], for images fp32 [N, C, H, W]; N fills the file's batches."""
    given, taken = artifact.inputs[0], artifact.outputs[0]
    results = []
    for part in batches(images, given.shape[0]):
        model.feed(stored(part, given))
        model.invoke()
        results.append(restored(model.result(), taken))
    return np.concatenate(results)


def batches(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Parts of `size` images; raises ValueError where some would be left over."""
    if len(images) % size:
        raise ValueError(f"{len(images)} images do not fill the batches of {size} that the model takes")
    for start in range(0, len(images), size):
        yield images[start : start + size]


def stored(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """PyTorch's fp32 values as the file holds them: its layout, its number format."""
    if spec.layout == "NHWC":
        values = values.transpose(0, 2, 3, 1)
    if spec.quantization is not None:
        limits = np.iinfo(spec.dtype)
        numbers = np.rint(values / spec.quantization.scale) + spec.quantization.zero_point
        values = np.clip(numbers, limits.min, limits.max)
    return np.ascontiguousarray(values, dtype=spec.dtype)


def restored(values: np.ndarray, spec: TensorSpec) -> np.ndarray:
    """The file's values as PyTorch's: fp32, channels first; a copy."""
    numbers = np.array(values, dtype=np.float32)
    if spec.quantization is not None:
        numbers = (numbers - spec.quantization.zero_point) * np.float32(spec.quantization.scale)
    return numbers.transpose(0, 3, 1, 2) if spec.layout == "NHWC" else numbers
