"""Files to ship: smaller numbers inside, float32 at the edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from onnxruntime import InferenceSession
from torch import Tensor, nn

from profilers.artifact import Artifact
from profilers.compile_cache import CompileJob, compile_all
from profilers.errors import CompileError
from profilers.precision import Precision
from profilers.runtimes import load_runtime

WANTED: tuple[tuple[str, Precision], ...] = (
    ("onnxruntime", "fp16"),
    ("onnxruntime", "int8"),
    ("litert", "int8"),
    ("pytorch", "fp16"),
)
kinds = pytest.mark.parametrize(("runtime", "precision"), WANTED)


def images_of(job: CompileJob) -> Tensor:
    return torch.randn(4, *job.example.shape[1:], generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="session")
def shipped(jobs: dict[str, CompileJob]) -> dict[str, Artifact]:
    """The network by runtime and precision, `litert int8`; LiteRT's with a softmax."""
    work = {}
    for runtime, precision in WANTED:
        job = jobs[f"{runtime} network"]
        module = nn.Sequential(job.module, nn.Softmax(dim=1)) if runtime == "litert" else job.module
        work[f"{runtime} {precision}"] = replace(
            job, module=module, precision=precision, calibration=images_of(job), float_edges=True
        )
    return compile_all(work)


@kinds
def test_inputs_and_outputs_are_what_fp32_has(
    shipped: dict[str, Artifact], compiled: dict[str, Artifact], runtime: str, precision: Precision
) -> None:
    found, fp32 = shipped[f"{runtime} {precision}"], compiled[f"{runtime} network"]
    assert (found.inputs, found.outputs) == (fp32.inputs, fp32.outputs)
    assert {spec.dtype for spec in (*found.inputs, *found.outputs)} == {"float32"}


@kinds
@torch.no_grad()
def test_it_computes_what_pytorch_does_to_within_its_rounding(
    shipped: dict[str, Artifact], jobs: dict[str, CompileJob], runtime: str, precision: Precision
) -> None:
    job = jobs[f"{runtime} network"]
    images = images_of(job)
    expected = job.module(images)
    expected = expected.softmax(1) if runtime == "litert" else expected
    found = torch.from_numpy(load_runtime(runtime).run(shipped[f"{runtime} {precision}"], images.numpy()))
    assert (found - expected).norm() < (0.002 if precision == "fp16" else 0.06) * expected.norm()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_onnx_file_has_float32_edges_itself(shipped: dict[str, Artifact], precision: Precision) -> None:
    session = InferenceSession(shipped[f"onnxruntime {precision}"].path, providers=["CPUExecutionProvider"])
    (given,), (taken,) = session.get_inputs(), session.get_outputs()
    assert (given.type, taken.type) == ("tensor(float)", "tensor(float)")
    assert given.shape == [1, 3, 16, 16]


def test_onnx_int8_quantises_its_image_once_and_transposes_nothing(shipped: dict[str, Artifact]) -> None:
    graph = onnx.load(shipped["onnxruntime int8"].path).graph
    assert [node.op_type for node in graph.node if "image" in node.input] == ["QuantizeLinear"]
    assert [node.op_type for node in graph.node if "output" in node.output] == ["DequantizeLinear"]
    assert not {"Transpose", "BatchNormalization"} & {node.op_type for node in graph.node}


def test_onnx_fp16_casts_at_the_edges_and_nowhere_else(shipped: dict[str, Artifact]) -> None:
    kinds = [node.op_type for node in onnx.load(shipped["onnxruntime fp16"].path).graph.node]
    assert (kinds[0], kinds[-1], kinds.count("Cast")) == ("Cast", "Cast", 2)


def test_litert_int8_computes_in_floats_only_its_edges_and_the_softmax(shipped: dict[str, Artifact]) -> None:
    interpreter = Interpreter(str(shipped["litert int8"].path))
    names = [op["op_name"] for op in interpreter._get_ops_details()]
    assert (names[0], names[-2], names[-1]) == ("QUANTIZE", "DEQUANTIZE", "SOFTMAX")
    assert [names.count(name) for name in ("QUANTIZE", "DEQUANTIZE", "SOFTMAX")] == [1, 1, 1]
    floats = {each["name"] for each in interpreter.get_tensor_details() if each["dtype"] == np.float32}
    assert len(floats) == 3  # image, logits, probabilities


def test_probabilities_of_int8_add_up_to_one(shipped: dict[str, Artifact], jobs: dict[str, CompileJob]) -> None:
    images = images_of(jobs["litert network"]).numpy()
    found = load_runtime("litert").run(shipped["litert int8"], images)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


class Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)


def test_what_litert_cannot_quantise_is_refused_and_named(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), Sine(), nn.Conv2d(4, 4, 1))
    with pytest.raises(CompileError, match="ai_edge_quantizer refused the module: ValueError: left in floats: SIN"):
        load_runtime("litert").compile(module, torch.ones(1, 3, 4, 4), tmp_path / "m", "int8", float_edges=True)


def test_edges_change_the_key_of_smaller_numbers_only(jobs: dict[str, CompileJob]) -> None:
    job = jobs["litert conv"]
    assert replace(job, float_edges=True).key() == job.key()
    int8 = replace(job, precision="int8")
    assert replace(int8, float_edges=True).key() != int8.key()
