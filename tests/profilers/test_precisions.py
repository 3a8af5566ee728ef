from __future__ import annotations

from dataclasses import replace
from math import log10
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from hypothesis import given
from hypothesis import strategies as st
from onnxruntime import InferenceSession, SessionOptions
from torch import Tensor, nn

from profilers.artifact import Artifact, Quantization, TensorSpec
from profilers.compile_cache import CompileJob, compile_all
from profilers.errors import CompileError
from profilers.precision import Precision
from profilers.runtimes import load_runtime
from profilers.runtimes.feeding import restored, stored

runtimes = pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
chains = pytest.mark.parametrize("chain", ["mbconv", "network"])
onnx_chains = pytest.mark.parametrize("chain", ["mbconv", "classifier", "network"])


WANTED: tuple[tuple[str, Precision], ...] = (
    ("onnxruntime mbconv", "int8"),
    ("onnxruntime classifier", "int8"),
    ("onnxruntime network", "int8"),
    ("onnxruntime network", "fp16"),
    ("litert mbconv", "int8"),
    ("litert network", "int8"),
    ("litert network", "fp16"),
)


class Winner(nn.Module):
    """Its output is a whole number by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return x.relu().argmax(1)


def images_of(job: CompileJob) -> Tensor:
    """Images in which the ranges are taken, and compared: [4, C, H, W]."""
    return torch.randn(4, *job.example.shape[1:], generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="session")
def small(jobs: dict[str, CompileJob]) -> dict[str, Artifact]:
    """By runtime, chain and precision: `litert mbconv int8`."""
    work: dict[str, CompileJob] = {}
    for name, precision in WANTED:
        job = jobs[name]
        work[f"{name} {precision}"] = replace(job, precision=precision, calibration=images_of(job))
    return compile_all(work)


def optimised_kinds(artifact: Artifact, folder: Path) -> list[str]:
    """The kinds of nodes that ONNX Runtime really runs."""
    options = SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    InferenceSession(artifact.path, options, providers=["CPUExecutionProvider"])
    return [node.op_type for node in onnx.load(folder / "optimised.onnx").graph.node]


def litert_kinds(artifact: Artifact) -> list[str]:
    return [op["op_name"] for op in Interpreter(str(artifact.path))._get_ops_details()]


@torch.no_grad()
def signal_to_noise_db(artifact: Artifact, runtime: str, module: nn.Module, images: Tensor) -> float:
    expected = module(images).numpy()
    found = load_runtime(runtime).run(artifact, images.numpy())
    assert found.dtype == np.float32
    return 10 * log10((expected**2).mean() / ((found - expected) ** 2).mean())


@runtimes
@chains
def test_int8_computes_what_pytorch_does_to_within_its_rounding(
    small: dict[str, Artifact], jobs: dict[str, CompileJob], runtime: str, chain: str
) -> None:
    job = jobs[f"{runtime} {chain}"]
    assert signal_to_noise_db(small[f"{runtime} {chain} int8"], runtime, job.module, images_of(job)) > 25


@runtimes
def test_fp16_computes_what_pytorch_does_to_three_digits(
    small: dict[str, Artifact], jobs: dict[str, CompileJob], runtime: str
) -> None:
    job = jobs[f"{runtime} network"]
    assert signal_to_noise_db(small[f"{runtime} network fp16"], runtime, job.module, images_of(job)) > 55


@onnx_chains
def test_onnx_takes_and_gives_8_bits(small: dict[str, Artifact], chain: str) -> None:
    artifact = small[f"onnxruntime {chain} int8"]
    session = InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
    ends = (*session.get_inputs(), *session.get_outputs())
    specs = (*artifact.inputs, *artifact.outputs)
    assert [each.type for each in ends] == ["tensor(uint8)"] * 2
    assert [(each.name, tuple(each.shape)) for each in ends] == [(spec.name, spec.shape) for spec in specs]
    assert all(spec.dtype == "uint8" and spec.quantization is not None for spec in specs)


@onnx_chains
def test_onnx_runtime_converts_nothing_at_the_edges_of_int8(
    small: dict[str, Artifact], tmp_path: Path, chain: str
) -> None:
    kinds = optimised_kinds(small[f"onnxruntime {chain} int8"], tmp_path)
    conversions = {"QuantizeLinear", "DequantizeLinear", "Transpose", "ReorderInput", "ReorderOutput", "Cast"}
    assert not conversions & {kinds[0], kinds[-1]}


def test_onnx_runtime_computes_every_convolution_in_8_bits(small: dict[str, Artifact], tmp_path: Path) -> None:
    kinds = optimised_kinds(small["onnxruntime network int8"], tmp_path)
    assert kinds.count("QLinearConv") == 10
    assert not {"Conv", "FusedConv", "Add", "Gemm", "AveragePool"} & set(kinds)


@chains
def test_litert_holds_nothing_but_whole_numbers(small: dict[str, Artifact], chain: str) -> None:
    artifact = small[f"litert {chain} int8"]
    tensors = Interpreter(str(artifact.path)).get_tensor_details()
    assert {each["dtype"].__name__ for each in tensors} <= {"int8", "int32"}
    assert not {"QUANTIZE", "DEQUANTIZE", "TRANSPOSE"} & set(litert_kinds(artifact))


@pytest.mark.parametrize("chain", ["conv", "mbconv", "network"])
def test_litert_converts_nothing_at_the_edges_of_fp32(compiled: dict[str, Artifact], chain: str) -> None:
    assert not {"TRANSPOSE", "RESHAPE", "QUANTIZE", "DEQUANTIZE"} & set(litert_kinds(compiled[f"litert {chain}"]))


@runtimes
def test_the_ranges_are_those_of_the_calibration_images(tmp_path: Path, runtime: str) -> None:
    module, example = nn.Sequential(nn.Conv2d(3, 4, 1)), torch.ones(1, 3, 4, 4)
    images = torch.linspace(-3, 3, 2 * 3 * 16).reshape(2, 3, 4, 4)
    artifact = load_runtime(runtime).compile(module, example, tmp_path / "model", "int8", calibration=images)
    meaning = artifact.inputs[0].quantization
    assert meaning is not None
    assert meaning.scale == pytest.approx(6 / 255, rel=1e-2)


@runtimes
def test_without_calibration_images_the_example_gives_the_ranges(tmp_path: Path, runtime: str) -> None:
    example = torch.linspace(0, 5, 2 * 3 * 16).reshape(2, 3, 4, 4)
    artifact = load_runtime(runtime).compile(nn.Sequential(nn.Conv2d(3, 4, 1)), example, tmp_path / "model", "int8")
    assert artifact.inputs[0].shape == (2, 4, 4, 3)
    assert artifact.inputs[0].quantization is not None
    assert artifact.inputs[0].quantization.scale == pytest.approx(5 / 255, rel=1e-2)


@runtimes
def test_what_cannot_be_quantised_is_refused_in_one_line(tmp_path: Path, runtime: str) -> None:
    told = r"(onnxruntime\.quantization|ai_edge_quantizer) refused the module: ValueError: "
    with pytest.raises(CompileError, match=told) as refused:
        load_runtime(runtime).compile(Winner(), torch.ones(1, 3, 4, 4), tmp_path / "model", "int8")
    assert "\n" not in str(refused.value)


def test_images_that_do_not_fill_a_batch_calibrate_nothing(tmp_path: Path) -> None:
    module, example = nn.Sequential(nn.Conv2d(3, 4, 1)), torch.ones(2, 3, 4, 4)
    with pytest.raises(CompileError, match="3 images do not fill the batches of 2"):
        load_runtime("onnxruntime").compile(module, example, tmp_path / "m", "int8", torch.ones(3, 3, 4, 4))


def test_precision_and_ranges_change_the_key_and_only_int8_reads_images(jobs: dict[str, CompileJob]) -> None:
    job = jobs["litert conv"]
    images = images_of(job)
    assert len({replace(job, precision=precision).key() for precision in ("fp32", "fp16", "int8")}) == 3
    assert replace(job, calibration=images).key() == job.key()
    int8 = replace(job, precision="int8")
    assert len({int8.key(), replace(int8, calibration=images).key(), replace(int8, example=-job.example).key()}) == 3


@given(scale=st.floats(1e-3, 10), zero_point=st.integers(-128, 127), seed=st.integers(0, 99))
def test_what_is_stored_comes_back_to_within_half_a_step_or_clipped(scale: float, zero_point: int, seed: int) -> None:
    meaning = Quantization(scale=scale, zero_point=zero_point)
    spec = TensorSpec(name="x", shape=(2, 4, 5, 3), dtype="int8", layout="NHWC", quantization=meaning)
    values = (200 * scale * np.random.default_rng(seed).standard_normal((2, 3, 4, 5))).astype(np.float32)
    held = stored(values, spec)
    assert (held.shape, held.dtype.name) == (spec.shape, "int8")
    least, most = scale * (-128 - zero_point), scale * (127 - zero_point)
    np.testing.assert_allclose(restored(held, spec), np.clip(values, least, most), atol=0.51 * scale, rtol=1e-4)
