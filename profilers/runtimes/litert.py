"""LiteRT: litert-torch converts, NHWC at the edges and no transposes inside."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from profilers import agent
from profilers.artifact import Artifact, Format, TensorSpec
from profilers.errors import CompileError
from profilers.runtimes.feeding import run_images

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class LiteRT:
    name: str = "litert"
    format: Format = "tflite"
    packages: tuple[str, ...] = ("ai-edge-litert", "litert-torch", "litert-converter", "torch")

    def compile(self, module: nn.Module, example: Tensor, path: Path) -> Artifact:
        import torch

        from profilers.blocks import folded

        network = folded(module)
        with torch.no_grad():
            shape = tuple(network(example).shape)
        image_like = len(shape) == 4
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the converter and what it imports warn of their own internals
            import litert_torch

            channels_last = litert_torch.to_channel_last_io(network, args=[0], outputs=[0] if image_like else None)
            try:
                model = litert_torch.convert(channels_last.eval(), (example.permute(0, 2, 3, 1).contiguous(),))
                model.export(str(path))
            except (RuntimeError, ValueError, TypeError) as error:
                raise CompileError(f"{path.name}: litert_torch.convert refused the module: {error}") from error
        batch, channels, height, width = example.shape
        return Artifact.of(
            path,
            format=self.format,
            inputs=(
                TensorSpec(name="args_0", shape=(batch, height, width, channels), dtype="float32", layout="NHWC"),
            ),
            outputs=(_output(shape),),
        )

    def run(self, artifact: Artifact, images: np.ndarray) -> np.ndarray:
        return run_images(agent.LiteRTModel(str(artifact.path), threads=1), artifact, images)


def _output(shape: tuple[int, ...]) -> TensorSpec:
    if len(shape) != 4:
        return TensorSpec(name="output_0", shape=shape, dtype="float32", layout="NC")
    batch, channels, height, width = shape
    return TensorSpec(name="output_0", shape=(batch, height, width, channels), dtype="float32", layout="NHWC")


RUNTIME = LiteRT()
