"""A compiled file: what a runtime loads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from profilers.errors import TargetError
from profilers.files import sha256_of

Format = Literal["onnx", "tflite", "pt2", "mlpackage"]
Layout = Literal["NCHW", "NHWC", "NC", "plain"]  # plain: nobody told what the axes mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantization:
    """What whole numbers stand for: `scale * (number - zero_point)`."""

    scale: float
    zero_point: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One input or output of a compiled file; `quantization` where it holds whole numbers."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    layout: Layout
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A compiled file with its inputs and outputs, identified by the hash of its bytes."""

    path: Path
    format: Format
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size_bytes: int
    sha256: str

    def require_batch(self, batch: int) -> None:
        """Raise TargetError where the file was compiled for another number of images at once.

        The first axis of a plain input need not be one of batches: only batches that are asked for must be there.
        """
        found = self.inputs[0].shape[:1] if self.inputs else ()
        untold = all(tensor.layout == "plain" for tensor in self.inputs)
        if found != (batch,) and not (untold and batch == 1):
            raise TargetError(f"{self.path} is compiled for batches of {found[0] if found else 1}, not of {batch}")

    @staticmethod
    def of(path: Path, *, format: Format, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Artifact:
        """The artifact of a file that lies on disk."""
        return Artifact(
            path=path,
            format=format,
            inputs=inputs,
            outputs=outputs,
            size_bytes=path.stat().st_size,
            sha256=sha256_of(path),
        )
