"""PyTorch: a program of torch.export, NCHW at the edges; what a server with a CUDA GPU, or a Mac's, may run."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
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
    from torch.export import ExportedProgram

_OF_THIS_MACHINE = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node")


@dataclass(frozen=True, slots=True)
class PyTorch:
    name: str = "pytorch"
    format: Format = "pt2"
    packages: tuple[str, ...] = ("torch",)
    precisions: tuple[Precision, ...] = ("fp32", "fp16")
    accelerators: tuple[str, ...] = ("cpu", "cuda", "mps")

    def compile(
        self,
        module: nn.Module,
        example: Tensor,
        path: Path,
        precision: Precision = "fp32",
        calibration: Tensor | None = None,
        float_edges: bool = False,
    ) -> Artifact:
        """The file is a zip archive of JSON and raw weights: without an example of the input it holds no pickle."""
        import torch

        from profilers.blocks import folded
        from profilers.runtimes.float_edges import HalfInside

        network = folded(module)
        given = tensor_spec("image", tuple(example.shape))
        try:
            with torch.no_grad():
                taken = tensor_spec("output", tuple(network(example).shape))
            if precision == "fp16" and float_edges:
                network = HalfInside(network)
            elif precision == "fp16":
                given, taken = replace(given, dtype="float16"), replace(taken, dtype="float16")
                network, example = network.half(), example.half()
            program = torch.export.export(network, (example,))
        except REFUSALS as error:
            raise refusal("torch.export.export", error) from error
        path.write_bytes(_archive(program))
        return Artifact.of(path, format=self.format, inputs=(given,), outputs=(taken,))

    def run(self, artifact: Artifact, images: np.ndarray) -> np.ndarray:
        import torch

        threads = torch.get_num_threads()  # those of the whole process, which are not ours to change
        return run_images(agent.TorchModel(str(artifact.path), threads, accelerator="cpu"), artifact, images)


def _archive(program: ExportedProgram) -> bytes:
    import torch

    program.example_inputs = None
    for node in program.graph.nodes:
        for name in _OF_THIS_MACHINE:
            node.meta.pop(name, None)
    archive = io.BytesIO()
    torch.export.save(program, archive)
    return archive.getvalue()


RUNTIME = PyTorch()
