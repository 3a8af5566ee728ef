from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from profilers import agent
from profilers.accelerators import accelerator_checks
from profilers.agent_session import AgentSession
from profilers.artifact import Artifact
from profilers.blocks import build_chain
from profilers.devices import open_session
from profilers.errors import DeviceError
from profilers.op_spec import OpSpec
from profilers.protocol import Protocol
from profilers.runtimes import load_runtime
from profilers.target import Target
from tests.profilers.foreign_models import write_tflite_model

BRIEF = Protocol(name="brief", rounds=1, max_rounds=1, warmup_runs=2, warmup_ms=0, runs=3, burst_ms=0)
LITERT_GPU = Target(runtime="litert", accelerator="gpu")
ONNX_WEBGPU = Target(runtime="onnxruntime", accelerator="webgpu")

Require = Callable[[str], Path]


class ShuffledChannels(nn.Module):
    """As ShuffleNet has them: in five dimensions, one more than a mobile GPU does."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(x.shape)


@pytest.fixture
def software_gpu(require: Require, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_ICD_FILENAMES", str(require("swiftshader")))


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VK_ICD_FILENAMES", "/nonexistent")


@pytest.fixture
def webgpu(require: Require, software_gpu: None) -> Iterator[AgentSession]:  # noqa: ARG001 - set before it starts
    command = [str(require("onnxruntime-webgpu")), "-P", agent.__file__]
    with AgentSession(command, ONNX_WEBGPU, shares_files=True) as session:
        yield session


@pytest.fixture(scope="session")
def heavy(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A model that computes long and returns little."""
    chain = ("mbconv in=40x40x32 out=32 kernel=5 expand=6", "classifier in=40x40x32 out=4")
    module = build_chain(tuple(map(OpSpec.parse, chain))).eval()
    path = tmp_path_factory.mktemp("heavy") / "heavy.tflite"
    return load_runtime("litert").compile(module, torch.randn(1, 32, 40, 40), path)


@pytest.mark.usefixtures("software_gpu")
@pytest.mark.parametrize("chain", ["mbconv", "network"])
def test_the_gpu_computes_what_the_cpu_does(compiled: dict[str, Artifact], chain: str) -> None:
    path = str(compiled[f"litert {chain}"].path)
    results = []
    for model in (agent.LiteRTModel(path, 1, "cpu"), agent.LiteRTGpuModel(path, 1, "gpu")):
        agent.feed_noise(model)
        model.invoke()
        results.append(model.result())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-2, atol=1e-2 * np.abs(results[0]).max())


@pytest.mark.usefixtures("software_gpu")
def test_a_gpu_is_fed_every_input_and_read_every_output(tmp_path: Path) -> None:
    path = str(write_tflite_model(tmp_path / "rows.tflite", count=3))
    models = agent.LiteRTModel(path, 1, "cpu"), agent.LiteRTGpuModel(path, 1, "gpu")
    for model in models:
        agent.feed_noise(model)
        model.invoke()
    rows, sums = models[1]._results
    np.testing.assert_allclose(rows, models[0].result())
    np.testing.assert_allclose(sums, rows + agent.noise((1, 4), "float32"), rtol=1e-2, atol=1e-2)


@pytest.mark.usefixtures("software_gpu")
def test_sizes_that_a_file_leaves_open_are_refused_on_a_gpu(tmp_path: Path) -> None:
    path = str(write_tflite_model(tmp_path / "rows.tflite"))
    with pytest.raises(ValueError, match="takes no sizes but those that stand in the file"):
        agent.LiteRTGpuModel(path, 1, "gpu", shapes={"numbers": [5], "row": [1, 4]})


@pytest.mark.usefixtures("software_gpu")
def test_the_time_of_a_gpu_holds_its_work(heavy: Artifact) -> None:
    model = agent.LiteRTGpuModel(str(heavy.path), 1, "gpu")
    agent.feed_noise(model)
    runs = [(model.run_ns(), agent.host_ns(model._read)) for _ in range(5)]
    whole_ns, rest_ns = (min(times) for times in zip(*runs, strict=True))
    assert whole_ns > 10 * rest_ns, "the result was not there when the run's time was taken"


@pytest.mark.usefixtures("software_gpu")
def test_a_table_tells_which_gpu_and_that_it_is_software(compiled: dict[str, Artifact]) -> None:
    session = open_session(LITERT_GPU)
    burst = session.burst(compiled["litert mbconv"], BRIEF, 0)
    session.close()
    assert len(burst.times_ms) == 3
    assert session.environment.facts["accelerator"] == "gpu"
    assert all(word in session.environment.facts["gpu"] for word in ("SwiftShader", "Software"))


def test_a_table_of_the_cpu_names_no_gpu() -> None:
    session = open_session(Target(runtime="litert"))
    session.close()
    assert "gpu" not in session.environment.facts


@pytest.mark.usefixtures("software_gpu")
def test_operations_that_the_gpu_cannot_do_are_named_and_not_timed(tmp_path: Path) -> None:
    artifact = load_runtime("litert").compile(ShuffledChannels(), torch.zeros(1, 8, 4, 4), tmp_path / "m.tflite")
    session = open_session(LITERT_GPU)
    with pytest.raises(DeviceError, match=r"not every operation runs on the GPU: .*TRANSPOSE: .*; replace them, or"):
        session.burst(artifact, BRIEF, 0)
    session.close()


@pytest.mark.usefixtures("no_gpu")
def test_without_a_gpu_it_is_said_what_to_install() -> None:
    with pytest.raises(DeviceError, match="LiteRT finds no GPU: install the driver"):
        open_session(LITERT_GPU)


@pytest.mark.parametrize(
    ("accelerator", "mend"),
    [
        ("cuda", r"pip uninstall -y onnxruntime && pip install 'onnxruntime-gpu\[cuda,cudnn\]'"),
        ("tensorrt", r"pip install 'onnxruntime-gpu\[cuda,cudnn\]' tensorrt"),
        ("webgpu", "pip install onnxruntime-webgpu"),
    ],
)
def test_a_provider_that_is_not_there_is_told_with_the_command_that_brings_it(accelerator: str, mend: str) -> None:
    with pytest.raises(DeviceError, match=rf"onnxruntime [\d.]+ has no \w+ExecutionProvider.*: .*{mend}"):
        open_session(Target(runtime="onnxruntime", accelerator=accelerator))


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")
def test_onnx_runtime_never_goes_back_to_the_cpu_in_silence(compiled: dict[str, Artifact]) -> None:
    with pytest.raises(ValueError, match=r"CUDAExecutionProvider does not start: .*it needs the GPU's driver"):
        agent.OnnxModel(str(compiled["onnxruntime conv"].path), 1, "cuda")


def test_onnx_runtime_names_the_operations_that_are_elsewhere(compiled: dict[str, Artifact]) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = onnxruntime.InferenceSession(compiled["onnxruntime conv"].path, options)
    assert agent.onnx_nodes_elsewhere(session, "CUDAExecutionProvider").startswith("Conv (")
    assert agent.onnx_nodes_elsewhere(session, "CPUExecutionProvider") == ""


def test_webgpu_times_a_model_on_the_gpu_it_names(webgpu: AgentSession, compiled: dict[str, Artifact]) -> None:
    burst = webgpu.burst(compiled["onnxruntime conv"], BRIEF, 0)
    assert (len(burst.times_ms), len(burst.warmup_ms)) == (3, 2)
    assert "SwiftShader" in webgpu.environment.facts["gpu"]
    assert "software" in webgpu.environment.facts["gpu"]


def test_operations_that_webgpu_lacks_are_named_and_not_timed(
    webgpu: AgentSession, compiled: dict[str, Artifact], tmp_path: Path
) -> None:
    import onnx
    from onnx import helper

    shape = onnx.TensorProto.FLOAT, [1, 4, 4]
    node = helper.make_node("Det", ["image"], ["output"], name="volume")
    given, taken = helper.make_tensor_value_info("image", *shape), helper.make_tensor_value_info("output", 1, [1])
    graph = helper.make_graph([node], "determinant", [given], [taken])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(DeviceError, match=r"not every operation runs on WebGpuExecutionProvider: Det \(volume\)"):
        webgpu.burst(replace(compiled["onnxruntime conv"], path=tmp_path / "m.onnx"), BRIEF, 0)


@pytest.mark.usefixtures("software_gpu")
def test_the_doctor_sees_a_gpu_that_works() -> None:
    found = {check.name: check for check in accelerator_checks()}
    assert found["profile local:litert?accelerator=gpu"].ok
    assert "SwiftShader" in found["profile local:litert?accelerator=gpu"].found


@pytest.mark.usefixtures("no_gpu")
def test_the_doctor_says_what_brings_a_gpu() -> None:
    [check] = [check for check in accelerator_checks() if "litert" in check.name]
    assert not check.ok
    assert "VK_ICD_FILENAMES" in check.mend


def test_what_native_code_says_is_heard_and_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    with agent.overheard() as heard:
        os.write(1, b"\x1b[31mred\x1b[m\n")
        os.write(2, b"plain\n")
    assert heard == ["red", "plain"]
    assert capfd.readouterr().err.endswith("plain\n")


@pytest.mark.skipif(sys.platform != "linux", reason="Vulkan's loader has another name elsewhere")
@pytest.mark.usefixtures("no_gpu")
def test_without_a_driver_vulkan_has_no_devices() -> None:
    assert agent.vulkan_devices() == []
