"""ONNX Runtime: PyTorch's own exporter, NCHW at the edges."""

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
class OnnxRuntime:
    name: str = "onnxruntime"
    format: Format = "onnx"
    packages: tuple[str, ...] = ("onnxruntime", "onnxscript", "onnx", "torch")
    precisions: tuple[Precision, ...] = ("fp32",)
    accelerators: tuple[str, ...] = ("cpu",)

    def compile(self, module: nn.Module, example: Tensor, path: Path, precision: Precision = "fp32") -> Artifact:
        import torch

        from profilers.blocks import folded

        network = folded(module)
        try:
            with torch.no_grad():
                shape = tuple(network(example).shape)
            with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
                warnings.simplefilter("ignore")  # the exporter warns of its own internals
                program = torch.onnx.export(
                    network, (example,), input_names=["image"], output_names=["output"], dynamo=True, verbose=False
                )
        except REFUSALS as error:
            raise refusal("torch.onnx.export", error) from error
        assert program is not None  # as it would be for an exporter of another kind
        for node in program.model.graph.all_nodes():  # the exporter's stack traces, paths of this machine in them
            node.metadata_props.clear()
        program.save(path)
        return Artifact.of(
            path,
            format=self.format,
            inputs=(tensor_spec("image", tuple(example.shape)),),
            outputs=(tensor_spec("output", shape),),
        )

    def run(self, artifact: Artifact, images: np.ndarray) -> np.ndarray:
        return run_images(agent.OnnxModel(str(artifact.path), threads=1, accelerator="cpu"), artifact, images)


RUNTIME = OnnxRuntime()
