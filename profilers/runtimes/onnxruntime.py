"""ONNX Runtime: PyTorch's own exporter, NCHW at the edges; int8 by its own quantiser, with 8-bit edges NHWC."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from profilers import agent
from profilers.artifact import Artifact, Format, TensorSpec
from profilers.precision import Precision
from profilers.runtimes.feeding import run_images, tensor_spec
from profilers.runtimes.refusal import REFUSALS, refusal

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class OnnxRuntime:
    name: str = "onnxruntime"
    format: Format = "onnx"
    packages: tuple[str, ...] = ("onnxruntime", "onnxscript", "onnx", "torch")
    precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
    accelerators: tuple[str, ...] = ("cpu", "cuda", "tensorrt", "webgpu", "coreml")

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
            given, taken = tensor_spec("image", tuple(example.shape)), tensor_spec("output", shape)
            if precision == "fp16":
                model, given, taken = _halved(network, example, given, taken, float_edges)
            else:
                model = _exported(network, example)
        except REFUSALS as error:
            raise refusal("torch.onnx.export", error) from error
        if precision == "int8":
            images = (example if calibration is None else calibration).numpy()
            model, given, taken = _quantized(model, given, taken, images, float_edges)
        path.write_bytes(model.SerializeToString())
        return Artifact.of(path, format=self.format, inputs=(given,), outputs=(taken,))

    def run(self, artifact: Artifact, images: np.ndarray) -> np.ndarray:
        return run_images(agent.OnnxModel(str(artifact.path), threads=1, accelerator="cpu"), artifact, images)


def _exported(network: nn.Module, example: Tensor) -> ModelProto:
    import torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            network, (example,), input_names=["image"], output_names=["output"], dynamo=True, verbose=False
        )
    assert program is not None  # as it would be for an exporter of another kind
    for node in program.model.graph.all_nodes():  # the exporter's stack traces, paths of this machine in them
        node.metadata_props.clear()
    return program.model_proto


def _halved(
    network: nn.Module, example: Tensor, given: TensorSpec, taken: TensorSpec, float_edges: bool
) -> tuple[ModelProto, TensorSpec, TensorSpec]:
    from profilers.runtimes.float_edges import HalfInside

    if float_edges:
        return _exported(HalfInside(network), example), given, taken
    model = _exported(network.half(), example.half())
    return model, replace(given, dtype="float16"), replace(taken, dtype="float16")


def _quantized(
    model: ModelProto, given: TensorSpec, taken: TensorSpec, images: np.ndarray, float_edges: bool
) -> tuple[ModelProto, TensorSpec, TensorSpec]:
    from profilers.runtimes.onnx_int8 import quantize_int8

    try:
        return quantize_int8(model, given, taken, images, float_edges=float_edges)
    except REFUSALS as error:
        raise refusal("onnxruntime.quantization", error) from error


RUNTIME = OnnxRuntime()
