"""Graphs of cells through the converters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from profilers.artifact import Artifact
from profilers.cell_ops import Add, AvgPool, Concat, Conv7x1, DilConv, MaxPool, Reduce, ReLUConv, SepConv
from profilers.compile_cache import CompileJob, compile_all
from profilers.graph import INPUT, Drawing, Graph
from profilers.operation import Operation
from profilers.operations import Classifier, Conv, Identity
from profilers.runtimes import RUNTIMES, load_runtime
from profilers.shape import Shape


def cells() -> Graph:
    """A cell that keeps its size and one that halves it, an even and an odd one, with every operation of cells."""
    drawing = Drawing(Shape(8, 9, 3))
    state = drawing.add(Conv(8, kernel=3, act="none"), INPUT)
    for stride in (1, 2):
        skip: Operation = Identity() if stride == 1 else Reduce(8)
        operations = [
            skip,
            MaxPool(3, stride),
            AvgPool(3, stride),
            SepConv(8, 5, stride),
            DilConv(8, 5, stride),
            Conv7x1(8, stride),
        ]
        terms = [drawing.add(operation, state) for operation in operations]
        sums = [drawing.add(Add(), *terms[:3]), drawing.add(Add(), *terms[3:])]
        state = drawing.add(ReLUConv(8), drawing.add(Concat(), *sums))
    drawing.add(Classifier(5), state)
    return drawing.graph()


def trained() -> nn.Module:
    """Weights and batch statistics away from their start."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        module = cells().module().eval()
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                for value in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
                    assert value is not None
                    value.data.uniform_(0.5, 1.5)
    return module


@pytest.fixture(scope="module")
def compiled() -> dict[str, Artifact]:
    return compile_all({runtime: CompileJob(runtime, trained(), torch.randn(1, 3, 8, 9)) for runtime in RUNTIMES})


@pytest.mark.parametrize("runtime", RUNTIMES)
@torch.no_grad()
def test_compiled_cells_compute_what_pytorch_does(compiled: dict[str, Artifact], runtime: str) -> None:
    images = torch.randn(3, 3, 8, 9, generator=torch.Generator().manual_seed(3))
    found = load_runtime(runtime).run(compiled[runtime], np.asarray(images))
    torch.testing.assert_close(torch.from_numpy(found), trained()(images), rtol=1e-4, atol=1e-5)


def test_batch_normalisation_of_cells_is_folded(compiled: dict[str, Artifact]) -> None:
    kinds = {node.op_type for node in onnx.load(Path(compiled["onnxruntime"].path)).graph.node}
    assert "BatchNormalization" not in kinds


def test_litert_transposes_nothing_within_cells(compiled: dict[str, Artifact]) -> None:
    kinds = [op["op_name"] for op in Interpreter(str(compiled["litert"].path))._get_ops_details()]
    assert "TRANSPOSE" not in kinds
