from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from onnxruntime import InferenceSession
from torch import Tensor, nn

import profilers
from profilers.agent import MODELS
from profilers.artifact import Artifact
from profilers.errors import CompileError, TargetError
from profilers.files import sha256_of
from profilers.runtimes import RUNTIMES, load_runtime

runtimes = pytest.mark.parametrize("runtime", RUNTIMES)


class NoFormatHasIt(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.special.bessel_j0(x)
        return y


class Misspelt(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)  # type: ignore[operator, no-any-return]


class Silent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError


def images_for(artifact: Artifact, count: int) -> Tensor:
    shape = artifact.inputs[0].shape
    sizes = (shape[3], *shape[1:3]) if artifact.inputs[0].layout == "NHWC" else shape[1:]
    return torch.randn(count, *sizes, generator=torch.Generator().manual_seed(3))


def threads_here() -> set[str]:
    return {thread.name for thread in Path("/proc/self/task").iterdir()}


def litert_ops(artifact: Artifact) -> list[str]:
    return [op["op_name"] for op in Interpreter(str(artifact.path))._get_ops_details()]


@runtimes
@pytest.mark.parametrize("chain", ["conv", "mbconv", "classifier", "network"])
@torch.no_grad()
def test_a_compiled_module_computes_what_pytorch_does(
    compiled: dict[str, Artifact], modules: dict[str, nn.Module], runtime: str, chain: str
) -> None:
    artifact = compiled[f"{runtime} {chain}"]
    images = images_for(artifact, 3)
    found = load_runtime(runtime).run(artifact, images.numpy())
    torch.testing.assert_close(torch.from_numpy(found), modules[chain](images), rtol=1e-4, atol=1e-5)


def test_batch_normalisation_is_folded_into_the_convolutions(compiled: dict[str, Artifact]) -> None:
    kinds = [node.op_type for node in onnx.load(compiled["onnxruntime conv"].path).graph.node]
    assert kinds == ["Conv", "Clip"]
    assert litert_ops(compiled["litert conv"]) == ["CONV_2D"]


def test_litert_takes_channels_last_and_transposes_nothing(compiled: dict[str, Artifact]) -> None:
    network = compiled["litert network"]
    assert (network.inputs[0].shape, network.inputs[0].layout) == ((1, 16, 16, 3), "NHWC")
    assert "FULLY_CONNECTED" in litert_ops(network)
    assert "TRANSPOSE" not in litert_ops(network)


@pytest.mark.parametrize("chain", ["conv", "network"])
def test_an_onnx_file_has_the_inputs_and_outputs_of_its_artifact(compiled: dict[str, Artifact], chain: str) -> None:
    artifact = compiled[f"onnxruntime {chain}"]
    session = InferenceSession(artifact.path, providers=["CPUExecutionProvider"])
    told = [(spec.name, list(spec.shape)) for spec in (*artifact.inputs, *artifact.outputs)]
    assert told == [(each.name, each.shape) for each in (*session.get_inputs(), *session.get_outputs())]


@pytest.mark.parametrize("chain", ["conv", "network"])
def test_a_litert_file_has_the_inputs_and_outputs_of_its_artifact(compiled: dict[str, Artifact], chain: str) -> None:
    artifact = compiled[f"litert {chain}"]
    interpreter = Interpreter(str(artifact.path))
    [signature] = interpreter.get_signature_list().values()
    assert signature == {"inputs": [artifact.inputs[0].name], "outputs": [artifact.outputs[0].name]}
    details = (*interpreter.get_input_details(), *interpreter.get_output_details())
    shapes = [artifact.inputs[0].shape, artifact.outputs[0].shape]
    assert [tuple(each["shape"]) for each in details] == shapes


@runtimes
def test_an_artifact_is_told_by_its_bytes(compiled: dict[str, Artifact], runtime: str) -> None:
    artifact = compiled[f"{runtime} network"]
    assert artifact.sha256 == sha256_of(artifact.path)
    assert artifact.size_bytes == artifact.path.stat().st_size


@runtimes
def test_a_compiled_file_tells_no_path_of_this_machine(compiled: dict[str, Artifact], runtime: str) -> None:
    checkout = Path(profilers.__path__[0]).parent
    assert str(checkout).encode() not in compiled[f"{runtime} network"].path.read_bytes()


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])  # PyTorch's threads are those of the whole process
@pytest.mark.parametrize("threads", [1, 3])
def test_a_model_runs_on_as_many_threads_as_asked(compiled: dict[str, Artifact], runtime: str, threads: int) -> None:
    load_runtime(runtime).run(compiled[f"{runtime} conv"], np.zeros((1, 3, 9, 9), np.float32))  # libraries are loaded
    gc.collect()
    before = threads_here()
    model = MODELS[runtime](str(compiled[f"{runtime} conv"].path), threads, "cpu")
    model.feed(np.zeros(model.inputs[0].shape, np.float32))
    model.invoke()
    assert len(threads_here() - before) == threads - 1  # threads of tests before may end meanwhile


@pytest.mark.parametrize("runtime", ["onnxruntime", "litert"])
def test_an_operation_that_a_format_lacks_is_refused_by_name(tmp_path: Path, runtime: str) -> None:
    with pytest.raises(CompileError, match=r"refused the module: \w+Error: .*bessel_j0"):
        load_runtime(runtime).compile(NoFormatHasIt(), torch.zeros(1, 3, 8, 8), tmp_path / "model")


@runtimes
@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Misspelt(), "AttributeError: 'Misspelt' object has no attribute 'layer'"),
        (nn.Conv2d(4, 8, 1), "RuntimeError: Given groups=1, weight of size"),
        (Silent(), "ValueError: no reason given"),
    ],
)
def test_a_refusal_tells_the_cause_in_one_line(tmp_path: Path, runtime: str, module: nn.Module, reason: str) -> None:
    with pytest.raises(CompileError, match=rf"^[a-z_.]+ refused the module: {reason}") as refused:
        load_runtime(runtime).compile(module, torch.zeros(1, 3, 8, 8), tmp_path / "model")
    assert "\n" not in str(refused.value)


def test_images_that_do_not_fill_a_batch_are_refused(compiled: dict[str, Artifact]) -> None:
    conv = compiled["onnxruntime conv"]
    four = replace(conv, inputs=(replace(conv.inputs[0], shape=(4, 3, 9, 9)),))
    with pytest.raises(ValueError, match="6 images do not fill the batches of 4"):
        load_runtime("onnxruntime").run(four, np.zeros((6, 3, 9, 9), np.float32))


def test_an_unknown_runtime_is_told_with_those_there_are() -> None:
    with pytest.raises(TargetError, match="runtime 'tvm' is not available; there are: onnxruntime, litert"):
        load_runtime("tvm")
