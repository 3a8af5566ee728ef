"""LiteRT: litert-torch converts, NHWC at the edges and no transposes inside."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from profilers import agent
from profilers.artifact import Artifact, Format
from profilers.precision import Precision
from profilers.runtimes.feeding import run_images, tensor_spec
from profilers.runtimes.refusal import REFUSALS, refusal

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class LiteRT:
    name: str = "litert"
    format: Format = "tflite"
    packages: tuple[str, ...] = ("ai-edge-litert", "litert-torch", "litert-converter", "torch")
    precisions: tuple[Precision, ...] = ("fp32",)
    accelerators: tuple[str, ...] = ("cpu",)

    def compile(self, module: nn.Module, example: Tensor, path: Path, precision: Precision = "fp32") -> Artifact:
        import torch

        from profilers.blocks import folded

        network = folded(module)
        channels_last_example = example.permute(0, 2, 3, 1).contiguous()
        try:
            with torch.no_grad():
                shape = tuple(network(example).shape)
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")  # the converter and what it imports warn of their own internals
                import litert_torch

                outputs = [0] if len(shape) == 4 else None
                channels_last = litert_torch.to_channel_last_io(network, args=[0], outputs=outputs).eval()
                litert_torch.convert(channels_last, (channels_last_example,)).export(str(path))
        except REFUSALS as error:
            raise refusal("litert_torch.convert", error) from error
        return Artifact.of(
            path,
            format=self.format,
            inputs=(tensor_spec("args_0", tuple(example.shape), channels_last=True),),
            outputs=(tensor_spec("output_0", shape, channels_last=True),),
        )

    def run(self, artifact: Artifact, images: np.ndarray) -> np.ndarray:
        return run_images(agent.LiteRTModel(str(artifact.path), threads=1, accelerator="cpu"), artifact, images)


RUNTIME = LiteRT()
