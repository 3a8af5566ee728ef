"""LiteRT: litert-torch converts, its quantiser quantises; NHWC at the edges and no transposes inside."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from profilers import agent
from profilers.artifact import Artifact, Format, TensorSpec
from profilers.precision import Precision
from profilers.runtimes.feeding import run_images, tensor_spec
from profilers.runtimes.refusal import REFUSALS, refusal

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

# The names that litert-torch gives.
_INPUT, _OUTPUT = "args_0", "output_0"


@dataclass(frozen=True, slots=True)
class LiteRT:
    name: str = "litert"
    format: Format = "tflite"
    packages: tuple[str, ...] = ("ai-edge-litert", "litert-torch", "litert-converter", "ai-edge-quantizer", "torch")
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
    accelerators: tuple[str, ...] = ("cpu", "gpu")

    def compile(
        self,
        module: nn.Module,
        example: Tensor,
        path: Path,
        precision: Precision = "fp32",
        calibration: Tensor | None = None,
        float_edges: bool = False,
    ) -> Artifact:
        import torch

        from profilers.blocks import folded

        network = folded(module)
        try:
            with torch.no_grad():
                shape = tuple(network(example).shape)
            _convert(network, example, path, images_out=len(shape) == 4)
        except REFUSALS as error:
            raise refusal("litert_torch.convert", error) from error
        given = tensor_spec(_INPUT, tuple(example.shape), channels_last=True)
        taken = tensor_spec(_OUTPUT, shape, channels_last=True)
        if precision != "fp32":
            images = (example if calibration is None else calibration).numpy()
            given, taken = _quantized(path, precision, given, taken, images, float_edges)
        return Artifact.of(path, format=self.format, inputs=(given,), outputs=(taken,))

    def run(self, artifact: Artifact, images: np.ndarray) -> np.ndarray:
        return run_images(agent.LiteRTModel(str(artifact.path), threads=1, accelerator="cpu"), artifact, images)


def _convert(network: nn.Module, example: Tensor, path: Path, *, images_out: bool) -> None:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the converter and what it imports warn of their own internals
        import litert_torch

        outputs = [0] if images_out else None
        channels_last = litert_torch.to_channel_last_io(network, args=[0], outputs=outputs).eval()
        litert_torch.convert(channels_last, (example.permute(0, 2, 3, 1).contiguous(),)).export(str(path))


def _quantized(
    path: Path, precision: Precision, given: TensorSpec, taken: TensorSpec, images: np.ndarray, float_edges: bool
) -> tuple[TensorSpec, TensorSpec]:
    """Quantise the file where it lies; what its ends hold from then on."""
    from profilers.runtimes.litert_quantization import quantize_inside, quantize_int8, weights_to_fp16

    try:
        if precision == "fp16":
            weights_to_fp16(path)
            return given, taken
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # to see ranges it keeps every tensor, of which LiteRT warns
            if float_edges:
                quantize_inside(path, given, images)
                return given, taken
            return quantize_int8(path, given, taken, images)
    except REFUSALS as error:
        raise refusal("ai_edge_quantizer", error) from error


RUNTIME = LiteRT()
