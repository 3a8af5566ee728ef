from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from deploy.bundle import Bundle
from deploy.packagers import pack
from deploy.verify import verify
from tests.deploy.small_networks import contents, local, small
from tests.stand_ins.arm_board import ArmBoard

Require = Callable[[str], Path]

_ROUNDING = 2e-3  # of a probability: a resized pixel may be off by one


def _bundle(channels: int, folder: Path) -> Bundle:
    network = small(channels, folder, "litert-fp32", "onnxruntime-fp32")
    return pack("linux", contents(network, *map(local, network.variants.values())), folder / "bundles")


@pytest.fixture(scope="module")
def rgb(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return _bundle(3, tmp_path_factory.mktemp("rgb"))


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return _bundle(1, tmp_path_factory.mktemp("grey"))


@pytest.fixture(scope="module", params=["grey", "rgb"])
def linux(request: pytest.FixtureRequest) -> Bundle:
    """The bundles of a network of grey and of one of RGB images in turn."""
    bundle: Bundle = request.getfixturevalue(request.param)
    return bundle


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Larger than the networks' images and not square."""
    pixels = np.random.default_rng(2).integers(0, 256, (53, 91, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("photo") / "photo.ppm"
    Image.fromarray(pixels).resize((137, 71), Image.Resampling.BICUBIC).save(path)
    return path


def test_the_bundle_verifies(linux: Bundle) -> None:
    assert [model.path for model in linux.manifest.models] == ["model.tflite", "model.onnx"]
    assert verify(linux.folder).complete


def test_without_an_onnx_file_nothing_is_said_of_cpp(rgb: Bundle, tmp_path: Path) -> None:
    network = small(1, tmp_path, "litert-fp32")
    bundle = pack("linux", contents(network, local(network.variants["litert-fp32"])), tmp_path / "bundles")
    assert "C++" in (rgb.folder / "README.md").read_text()
    assert "C++" not in (bundle.folder / "README.md").read_text()
    assert "#error" in (bundle.folder / "classify.cc").read_text()
    assert verify(bundle.folder).complete


def test_the_readme_warns_of_processors_without_vnni_where_there_is_an_int8_onnx_file(
    rgb: Bundle, tmp_path: Path
) -> None:
    network = small(1, tmp_path, "litert-int8", "onnxruntime-int8")
    files = [local(network.variants[name]) for name in ("litert-int8", "onnxruntime-int8")]
    both = pack("linux", contents(network, *files), tmp_path / "both")
    litert = pack("linux", contents(network, files[0]), tmp_path / "litert")
    assert "`model.onnx` can lose accuracy" in (both.folder / "README.md").read_text()
    assert all("VNNI" not in (each.folder / "README.md").read_text() for each in (rgb, litert))


def test_the_readme_installs_the_runtime_of_the_file(rgb: Bundle, tmp_path: Path) -> None:
    network = small(1, tmp_path, "onnxruntime-fp32")
    bundle = pack("linux", contents(network, local(network.variants["onnxruntime-fp32"])), tmp_path / "bundles")
    assert "numpy, Pillow and `ai-edge-litert` or `onnxruntime`:\n\n" in (rgb.folder / "README.md").read_text()
    assert "pip install numpy pillow onnxruntime\n\n2. Run" in (bundle.folder / "README.md").read_text()


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_the_runner_tells_the_label_of_the_example(linux: Bundle, runtime: str) -> None:
    told = _run(sys.executable, linux.folder / "classify.py", linux.folder / "example.png", "--runtime", runtime)
    assert told.partition("\t")[0] == _example_label(linux)


def test_the_runner_takes_the_runtime_that_is_there(rgb: Bundle, tmp_path: Path) -> None:
    _hide(tmp_path, "ai_edge_litert", "tflite_runtime")
    done = _done(sys.executable, rgb.folder / "classify.py", rgb.folder / "example.png", PYTHONPATH=str(tmp_path))
    assert done.stdout.partition("\t")[0] == _example_label(rgb)
    assert done.stderr == "model.tflite: not here\n"


def test_without_a_runtime_the_runner_says_what_to_install(rgb: Bundle, tmp_path: Path) -> None:
    _hide(tmp_path, "ai_edge_litert", "tflite_runtime", "onnxruntime")
    done = _done(sys.executable, rgb.folder / "classify.py", rgb.folder / "example.png", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("python3 -m pip install ai-edge-litert or onnxruntime")


def test_the_emulated_board_agrees_with_the_goldens_of_both_runtimes(rgb: Bundle, require: Require) -> None:
    told = _run(ArmBoard(require("arm-board")).python, rgb.folder / "verify.py")
    assert [line.split()[0] for line in told.splitlines()] == ["ok", "ok", "ok"]


@pytest.mark.parametrize("runtime", ["litert", pytest.param("onnxruntime", marks=pytest.mark.slow)])
def test_the_runner_says_on_the_emulated_board_what_it_says_here(
    rgb: Bundle, photo: Path, runtime: str, require: Require
) -> None:
    words, board = (rgb.folder / "classify.py", photo, "--runtime", runtime), ArmBoard(require("arm-board"))
    assert _said(board.python, *words) == pytest.approx(_said(sys.executable, *words), abs=_ROUNDING)


def test_tflite_runtime_of_2023_runs_the_runner(linux: Bundle, photo: Path, require: Require) -> None:
    words = (linux.folder / "classify.py", photo, "--runtime", "litert")
    assert _said(require("tflite-runtime"), *words) == pytest.approx(_said(sys.executable, *words), abs=_ROUNDING)


@pytest.fixture(scope="module")
def compiled(linux: Bundle, require: Require) -> Path:
    """The C++ sample, compiled with Debian's headers and linked with the library of the Python package."""
    program = linux.folder.parent / "classify"
    [library] = Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so.*")
    shutil.copy(library, program.with_name("libonnxruntime.so.1"))
    headers = require("onnxruntime-headers")
    strict = ("-Wall", "-Wextra", "-Werror")
    words = ("-std=c++17", *strict, f"-isystem{headers}", "-Wl,-rpath,$ORIGIN", "-o", program)
    _run(require("g++"), linux.folder / "classify.cc", program.with_name("libonnxruntime.so.1"), *words)
    return program


def test_the_cpp_sample_agrees_with_the_goldens(linux: Bundle, compiled: Path) -> None:
    assert _run(compiled, "--golden", cwd=linux.folder).startswith("5 images, off by ")


def test_the_cpp_sample_preprocesses_as_the_runner_does(linux: Bundle, compiled: Path, photo: Path) -> None:
    said = _said(sys.executable, linux.folder / "classify.py", photo, "--runtime", "onnxruntime")
    assert _said(compiled, photo, cwd=linux.folder) == pytest.approx(said, abs=_ROUNDING)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"P6 4 4 65535\n", "not a binary PPM or PGM of 8 bits"),
        (b"P3 4 4 255\n", "not a binary PPM or PGM of 8 bits"),
        (b"P5 -4 4 255\n", "not a binary PPM or PGM of 8 bits"),
        (b"P5 # made by hand\n4 4 255\n12", "ends too early"),
    ],
)
def test_the_cpp_sample_refuses_what_is_no_image(
    linux: Bundle, compiled: Path, tmp_path: Path, content: bytes, complaint: str
) -> None:
    (tmp_path / "image").write_bytes(content)
    done = _done(compiled, tmp_path / "image", cwd=linux.folder)
    assert done.returncode == 1 and complaint in done.stderr


def _hide(folder: Path, *modules: str) -> None:
    """Modules in a folder that cannot be imported from there."""
    for name in modules:
        (folder / f"{name}.py").write_text("raise ImportError('not here')")


def _example_label(bundle: Bundle) -> str:
    outputs = bundle.manifest.model.golden.outputs
    best = int(np.fromfile(bundle.folder / outputs.path, "<f4").reshape(outputs.shape)[0].argmax())
    return (bundle.folder / bundle.manifest.labels).read_text().splitlines()[best]


def _said(*words: str | Path, cwd: Path | None = None) -> dict[str, float]:
    """The labels that a sample prints, and their probabilities."""
    lines = [line.partition("\t") for line in _run(*words, cwd=cwd).splitlines()]
    return {label: float(probability) for label, _, probability in lines}


def _run(*words: str | Path, cwd: Path | None = None) -> str:
    done = _done(*words, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _done(*words: str | Path, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    everything = os.environ | environment
    return subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False, cwd=cwd, env=everything)
