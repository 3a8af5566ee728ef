"""ONNX Runtime: PyTorch's own exporter, NCHW at the edges."""

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
class OnnxRuntime:
    name: str = "onnxruntime"
    format: Format = "onnx"
    packages: tuple[str, ...] = ("onnxruntime", "onnxscript", "onnx", "torch")

    def compile(self, module: nn.Module, example: Tensor, path: Path) -> Artifact:
        import torch

        from profilers.blocks import folded

        network = folded(module)
        try:
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")  # the exporter warns of its own internals
                program = torch.onnx.export(
                    network, (example,), input_names=["image"], output_names=["output"], dynamo=True, verbose=False
                )
        except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError, TypeError) as error:
            raise CompileError(f"{path.name}: torch.onnx.export refused the module: {error}") from error
        if program is None:
            raise CompileError(f"{path.name}: torch.onnx.export gave no program")
        for node in program.model.graph.all_nodes():  # the exporter's stack traces, paths of this machine in them
            node.metadata_props.clear()
        program.save(path)
        with torch.no_grad():
            shape = tuple(network(example).shape)
        return Artifact.of(
            path,
            format=self.format,
            inputs=(TensorSpec(name="image", shape=tuple(example.shape), dtype="float32", layout="NCHW"),),
            outputs=(
                TensorSpec(name="output", shape=shape, dtype="float32", layout="NCHW" if len(shape) == 4 else "NC"),
            ),
        )

    def run(self, artifact: Artifact, images: np.ndarray) -> np.ndarray:
        return run_images(agent.OnnxModel(str(artifact.path), threads=1), artifact, images)


RUNTIME = OnnxRuntime()
