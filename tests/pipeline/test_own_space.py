"""What an outsider's file adds is there for every command."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.architecture import Architecture
from pipeline.spaces import SPACES, parse_space
from profilers.operation import OPERATIONS

OWN_SPACE = Path(__file__).with_name("own_space.py")
OWN_NAME = "tests.pipeline.own_space"


def run(*words: str | Path) -> str:
    command = [sys.executable, OWN_SPACE, *words]
    checkout = str(OWN_SPACE.parents[2])
    finished = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": checkout}
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture
def own() -> Iterator[None]:
    """The file's additions in this process, for as long as a test runs."""
    operations, spaces = dict(OPERATIONS), dict(SPACES)
    importlib.import_module(OWN_NAME)

    yield
    for registry, before in ((OPERATIONS, operations), (SPACES, spaces)):
        registry.clear()
        registry.update(before)  # type: ignore[arg-type]
    del sys.modules[OWN_NAME]


CHOICES = {"layer0": "ghost3", "layer1": "k3", "layer2": "ghost5"}


def test_a_space_of_ones_own_is_listed() -> None:
    assert "ghost-8" in json.loads(run("spaces", "--json"))["spaces"]


@pytest.mark.slow
def test_a_space_of_ones_own_is_profiled_and_predicted(tmp_path: Path) -> None:
    table, network = tmp_path / "table.yaml", tmp_path / "network.json"
    run("profile", "--space", "ghost-8", "--target", "local:onnxruntime", "--protocol", "quick", "-o", table)
    assert "ghost in=8x8x16 half=8 kernel=5" in table.read_text()
    network.write_text(json.dumps({"schema": 1, "space": "ghost-8", "choices": CHOICES}))
    assert json.loads(run("table", "predict", table, network, "--json"))["predicted_ms"] > 0


@pytest.mark.usefixtures("own")
@torch.no_grad()
def test_the_costs_of_an_operation_of_ones_own_are_those_of_its_module() -> None:
    network = Architecture.from_labels(parse_space("ghost-8"), CHOICES)
    module = network.graph().module().eval()
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 1, 8, 8))
    assert network.macs * 2 == counter.get_total_flops()
    assert network.params == sum(parameter.numel() for parameter in module.parameters())
