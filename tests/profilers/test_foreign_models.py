"""Timing models that are not ours, by the agent: all inputs fed, all outputs computed, sizes as asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from profilers import agent
from profilers.agent_session import AgentSession
from profilers.artifact import Artifact, TensorSpec
from profilers.devices import open_session
from profilers.errors import DeviceError, DeviceLostError, TargetError
from profilers.model_files import DTYPES, read_model
from profilers.protocol import Protocol
from profilers.target import Target
from tests.profilers.foreign_models import write_scaling_model, write_text_model, write_tflite_model

BRIEF = Protocol(name="brief", rounds=1, max_rounds=1, warmup_runs=1, warmup_ms=0, runs=3, burst_ms=0)


@pytest.fixture
def text_model(tmp_path: Path) -> Path:
    return write_text_model(tmp_path / "text.onnx")


@pytest.fixture
def rows_model(tmp_path: Path) -> Path:
    return write_tflite_model(tmp_path / "rows.tflite")


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, AgentSession]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLIS_CACHE", str(tmp_path_factory.mktemp("cache")))
        opened = {name: open_session(Target(runtime=name)) for name in ("onnxruntime", "litert")}
    agents = {name: each for name, each in opened.items() if isinstance(each, AgentSession)}
    yield agents
    for each in agents.values():
        each.close()


@given(st.sampled_from(sorted(DTYPES)), st_numpy.array_shapes(min_dims=0, max_side=5))
def test_noise_is_of_the_asked_type_and_shape_and_always_the_same(dtype: str, shape: tuple[int, ...]) -> None:
    found = agent.noise(shape, dtype)
    assert (found.dtype, found.shape) == (np.dtype(dtype), shape)
    np.testing.assert_array_equal(found, agent.noise(shape, dtype))


@pytest.mark.parametrize("dtype", ["bool", "int16", "int32", "int64", "uint32"])
def test_wide_integers_are_in_range_for_any_index(dtype: str) -> None:
    assert set(agent.noise((100,), dtype).tolist()) == {0, 1}


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_bytes_span_their_range(dtype: str) -> None:
    found = agent.noise((10_000,), dtype)
    assert (found.min(), found.max()) == (np.iinfo(dtype).min, np.iinfo(dtype).max)


def test_every_input_is_fed_and_every_output_computed(text_model: Path) -> None:
    model = agent.OnnxModel(str(text_model), 1, "cpu", shapes={"ids": [2, 3], "mask": [2, 3], "scale": []})
    agent.feed_noise(model)
    model.invoke()
    assert model._binding is not None
    scaled, left_out = model._binding.copy_outputs_to_cpu()
    mask, factor = agent.noise((2, 3), "bool"), agent.noise((), "float32")
    rows = np.arange(20, dtype=np.float32).reshape(5, 4)[agent.noise((2, 3), "int64")]
    np.testing.assert_allclose(scaled, rows * mask[..., None] * factor, rtol=1e-6)
    np.testing.assert_array_equal(left_out, ~mask)


def test_litert_s_open_sizes_are_set_before_it_runs(rows_model: Path) -> None:
    model = agent.LiteRTModel(str(rows_model), 1, "cpu", shapes={"numbers": [6], "row": [1, 4]})
    agent.feed_noise(model)
    model.invoke()
    rows = np.arange(20, dtype=np.float32).reshape(5, 4)[agent.noise((6,), "int32")]
    np.testing.assert_array_equal(model.result(), rows)


@pytest.mark.parametrize(
    ("runtime", "open_input", "sizes"), [("onnxruntime", "ids", (4, 5)), ("litert", "numbers", (6,))]
)
def test_a_session_times_a_foreign_model_with_the_sizes_asked(
    sessions: dict[str, AgentSession],
    text_model: Path,
    rows_model: Path,
    runtime: str,
    open_input: str,
    sizes: tuple[int, ...],
) -> None:
    path = text_model if runtime == "onnxruntime" else rows_model
    found = sessions[runtime].burst(read_model(path, {open_input: sizes}), BRIEF, 0)
    assert len(found.times_ms) == 3


@pytest.mark.parametrize("dtype", ["float16", "float64", "uint8", "int32", "int64"])
def test_a_session_times_any_type(sessions: dict[str, AgentSession], tmp_path: Path, dtype: str) -> None:
    from onnx import helper

    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    artifact = read_model(write_scaling_model(tmp_path / "m.onnx", [1, 2, 3], kind))
    assert len(sessions["onnxruntime"].burst(artifact, BRIEF, 0).times_ms) == 3


def test_a_size_that_litert_has_fixed_is_told_by_its_own_words(
    sessions: dict[str, AgentSession], rows_model: Path
) -> None:
    found = read_model(rows_model)
    other = replace(found, inputs=(found.inputs[0], replace(found.inputs[1], shape=(2, 4))))
    with pytest.raises(DeviceError, match=r"burst .*rows\.tflite failed"):
        sessions["litert"].burst(other, BRIEF, 0)


def test_a_process_that_a_model_kills_names_the_model(rows_model: Path) -> None:
    session = open_session(Target(runtime="litert"))
    assert isinstance(session, AgentSession)
    session._process.kill()
    with pytest.raises(DeviceLostError, match=r"it was asked to burst .*rows\.tflite$"):
        session.burst(read_model(rows_model), BRIEF, 0)
    session.close()


def test_onnx_runtime_tells_what_each_operation_takes(sessions: dict[str, AgentSession], text_model: Path) -> None:
    times = sessions["onnxruntime"].profile(read_model(text_model, {"ids": (2, 3)}), runs=7)
    assert {"look_up", "mask_out", "negate"} <= times.keys()
    assert all(len(each) == 7 and min(each) >= 0 for each in times.values())


def test_litert_s_refusal_to_tell_is_no_time(sessions: dict[str, AgentSession], rows_model: Path) -> None:
    with pytest.raises(DeviceError, match="only ONNX Runtime on a CPU tells what each operation takes"):
        sessions["litert"].profile(read_model(rows_model), runs=1)


def tensor(shape: tuple[int, ...], layout: str) -> TensorSpec:
    return TensorSpec(name="x", shape=shape, dtype="float32", layout="plain" if layout == "plain" else "NCHW")


@pytest.mark.parametrize(
    ("inputs", "batch"),
    [
        ((tensor((4, 3, 8, 8), "NCHW"),), 4),
        ((tensor((4, 3), "plain"),), 4),
        ((tensor((128,), "plain"),), 1),
        ((tensor((), "plain"),), 1),
        ((), 1),
    ],
)
def test_a_batch_that_fits_is_taken(inputs: tuple[TensorSpec, ...], batch: int) -> None:
    artifact_of(inputs).require_batch(batch)


@pytest.mark.parametrize(
    ("inputs", "batch"),
    [((tensor((4, 3, 8, 8), "NCHW"),), 1), ((tensor((4, 3), "plain"),), 2), ((tensor((), "plain"),), 2), ((), 2)],
)
def test_a_batch_that_does_not_is_refused(inputs: tuple[TensorSpec, ...], batch: int) -> None:
    with pytest.raises(TargetError, match=rf"is compiled for batches of \d, not of {batch}"):
        artifact_of(inputs).require_batch(batch)


def artifact_of(inputs: tuple[TensorSpec, ...]) -> Artifact:
    return Artifact(path=Path("m.onnx"), format="onnx", inputs=inputs, outputs=(), size_bytes=1, sha256="0")
