"""The bundles for servers: their samples run as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from deploy.bundle import Bundle
from deploy.errors import BundleError
from deploy.manifest import Model
from deploy.ort_format import ort_files
from deploy.packager import BundleContents
from deploy.packagers import pack


def _classify(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "classify.py", "example.png", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _golden(bundle: Bundle, model: Model) -> np.ndarray:
    spec = model.golden.outputs
    return np.fromfile(bundle.folder / spec.path, "<f4").reshape(spec.shape)


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_the_sample_prints_the_label_that_the_goldens_say(precision: str, server: Bundle) -> None:
    [model] = [each for each in server.manifest.models if each.precision == precision]
    label = f"digit {_golden(server, model)[0].argmax()}"
    lines = _classify(server.folder, "--top", "2", "--precision", precision).stdout.splitlines()
    assert len(lines) == 2
    assert lines[0].split("\t")[0] == label


def test_the_readme_names_the_label_settings_and_models(server: Bundle) -> None:
    readme = (server.folder / "README.md").read_text()
    assert f"`digit {_golden(server, server.manifest.model)[0].argmax()}`" in readme
    assert "| `intra_op_num_threads` | 2 |" in readme
    assert "| `model-int8.onnx` | int8 | 0.250 |" in readme
    assert (server.folder / "requirements.txt").read_text().splitlines()[1] == "onnxruntime==1.23.0"


def test_the_readme_warns_of_processors_without_vnni_where_there_is_an_int8_file(
    server: Bundle, server_contents: BundleContents, tmp_path: Path
) -> None:
    _, fp32 = server_contents.verdicts
    without = pack("server-cpu", replace(server_contents, verdicts=(fp32,)), tmp_path / "fp32")
    assert "without VNNI" in (server.folder / "README.md").read_text()
    assert "VNNI" not in (without.folder / "README.md").read_text()


def test_every_model_of_the_server_is_there_in_onnx_runtimes_own_form(server: Bundle) -> None:
    images = np.fromfile(server.folder / "golden/inputs-nchw.bin", "<f4").reshape(4, 1, 1, 8, 8)
    for model in server.manifest.models:
        path = server.folder / "ort" / Path(model.path).with_suffix(".ort")
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = np.concatenate([session.run(None, {"image": image})[0] for image in images])
        assert abs(found - _golden(server, model)).max() <= model.golden.tolerance


def test_the_list_of_operators_has_what_the_ort_models_have_and_no_path_of_this_machine(server: Bundle) -> None:
    text = (server.folder / "ort/required_operators_and_types.config").read_text()
    lines = [line.split(";", 2) for line in text.splitlines()]
    assert {domain for domain, _, _ in lines} >= {"ai.onnx"}
    assert "Gemm" in text
    assert "QLinearConv" in text
    assert "#" not in text
    assert "/" not in text


def test_an_ort_file_that_does_not_agree_is_refused(server: Bundle, server_contents: BundleContents) -> None:
    images = server_contents.golden_images * np.float32("nan")
    with pytest.raises(BundleError, match=r"model-\w+\.ort: differs from m\.onnx by nan"):
        ort_files(replace(server_contents, golden_images=images), server.manifest, "ort")


def test_the_gpu_sample_stops_where_there_is_no_gpu(gpu: Bundle) -> None:
    for provider in ("cuda", "tensorrt"):
        ended = _classify(gpu.folder, "--provider", provider)
        assert ended.returncode == 1
        assert re.match(r"this onnxruntime has no \w+ExecutionProvider: pip install", ended.stderr)
        assert "Traceback" not in ended.stderr


def test_the_gpu_sample_computes_on_the_cpu_where_it_is_told_to(gpu: Bundle) -> None:
    lines = _classify(gpu.folder, "--provider", "cpu", "--top", "1").stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == [f"digit {_golden(gpu, gpu.manifest.model)[0].argmax()}"]


def test_the_gpu_model_computes_in_halves_between_float32_edges(gpu: Bundle) -> None:
    import onnx

    graph = onnx.load(gpu.folder / gpu.manifest.model.path).graph
    assert {each.data_type for each in graph.initializer if len(each.dims) > 1} == {onnx.TensorProto.FLOAT16}
    for edge in (*graph.input, *graph.output):
        assert edge.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
