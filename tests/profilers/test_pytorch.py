from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from profilers import agent
from profilers.artifact import Artifact
from profilers.compile_cache import CompileJob
from profilers.devices import open_session
from profilers.errors import DeviceError
from profilers.runtimes.pytorch import RUNTIME
from profilers.target import Target


class Event:
    """Stands for CUDA's events, none of which are here: tells what happened between two of them."""

    happened: list[str]

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        self.happened.append("record")

    def synchronize(self) -> None:
        self.happened.append("synchronize")

    def elapsed_time(self, _end: Event) -> float:
        self.happened.append("ask")
        return 1.25


@torch.no_grad()
def test_half_precision_is_close_to_full(
    jobs: dict[str, CompileJob], modules: dict[str, nn.Module], tmp_path: Path
) -> None:
    images = jobs["pytorch network"].example
    artifact = RUNTIME.compile(modules["network"], images, tmp_path / "half.pt2", "fp16")
    found = torch.from_numpy(RUNTIME.run(artifact, images.numpy()))
    assert artifact.inputs[0].dtype == "float16"
    torch.testing.assert_close(found, modules["network"](images), rtol=2e-2, atol=2e-2)


def test_the_same_module_makes_the_same_file(jobs: dict[str, CompileJob], tmp_path: Path) -> None:
    job = jobs["pytorch conv"]
    files = [RUNTIME.compile(job.module, job.example, tmp_path / f"{n}.pt2") for n in range(2)]
    assert files[0].sha256 == files[1].sha256


def test_a_program_is_json_and_raw_weights(compiled: dict[str, Artifact]) -> None:
    with zipfile.ZipFile(compiled["pytorch network"].path) as archive:
        pickles = [
            entry for entry in archive.infolist() if entry.filename.endswith((".pt", ".pkl")) and entry.file_size
        ]
        assert pickles == []
        assert "graph_module" in json.loads(archive.read("archive/models/model.json"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("archive/data/sample_inputs/other.pt", "a pickle"),
        ("archive/data/weights/other.pt", "a pickle"),
        ("archive/data/constants/custom_obj_0", "a pickle"),
        ("archive/data/aotinductor/model/model.so", "a library"),
        ("archive/data/weights/evil_weights_config.json", r'{"config": {"w": {"use_\u0070ickle": true}}}'),
    ],
)
def test_a_program_with_a_pickle_is_not_loaded(
    compiled: dict[str, Artifact], tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / "program.pt2"
    path.write_bytes(compiled["pytorch conv"].path.read_bytes())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, content)
    with pytest.raises(ValueError, match=r"is, or names, a pickle, and none is loaded"):
        agent.TorchModel(str(path), 1, "cpu")


def test_pytorch_has_as_many_threads_as_asked(compiled: dict[str, Artifact]) -> None:
    load = f"agent.TorchModel({str(compiled['pytorch conv'].path)!r}, 3, 'cpu')"
    program = f"import torch; from profilers import agent; {load}; print(torch.get_num_threads())"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert told.split() == [b"3"]


def test_running_a_model_here_leaves_the_threads_of_the_process_alone(compiled: dict[str, Artifact]) -> None:
    before = torch.get_num_threads()
    RUNTIME.run(compiled["pytorch conv"], torch.zeros(1, 3, 9, 9).numpy())
    assert torch.get_num_threads() == before


def test_events_on_the_gpu_tell_the_time_after_both_have_happened(compiled: dict[str, Artifact]) -> None:
    model = agent.TorchModel(str(compiled["pytorch conv"].path), torch.get_num_threads(), "cpu")
    agent.feed_noise(model)
    Event.happened, model._event = [], Event
    assert model.run_ns() == 1_250_000
    assert Event.happened == ["record", "record", "synchronize", "ask"]
    assert model.result().shape == (1, 8, 5, 5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA GPU")
def test_without_a_cuda_gpu_it_is_said_and_nothing_is_timed() -> None:
    with pytest.raises(DeviceError, match=r"PyTorch [\w.+]+ finds no CUDA GPU: see https://pytorch.org"):
        open_session(replace(Target(runtime="pytorch"), accelerator="cuda"))
