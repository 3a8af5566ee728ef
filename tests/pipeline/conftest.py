"""A minuscule space, latency tables of invented numbers, and one cache of compiled models for all tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Protocol

import pytest
import torch

from latency_tables.calibration import Calibration
from latency_tables.table import Latency, LatencyTable
from pipeline.architecture import Architecture
from pipeline.data import Data, load_data
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from profilers.environment import Environment
from profilers.operations import OpSpec
from profilers.protocol import protocol_named
from profilers.target import Target

# Three decisions, twelve networks; the widest has 16 channels.
MINUSCULE = "mbconv-8?stem=8&first=8&widths=8,16&depths=2,1&strides=2,1&kernels=3&expands=1,2&head=16"


class MakeTable(Protocol):
    """A latency table of a space, each operation costing what `cost_ms` says."""

    def __call__(
        self,
        space: SearchSpace,
        cost_ms: Callable[[OpSpec], float] = ...,
        *,
        target: str = ...,
        calibration: Calibration = ...,
    ) -> LatencyTable: ...


class Millis(Protocol):
    """Run the command line in a process of its own."""

    def __call__(self, *words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session", autouse=True)
def _shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What one test has converted, no other converts again; nothing of it outlives the session."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLIS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def digits() -> Data:
    return load_data("digits")


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return parse_space(MINUSCULE)


@pytest.fixture(scope="session")
def all_networks() -> Callable[[SearchSpace], list[Architecture]]:
    """Every network of a space, by brute force."""

    def of(space: SearchSpace) -> list[Architecture]:
        choices = product(*(range(len(layer.candidates)) for layer in space.decisions))
        return [Architecture(space, each) for each in choices]

    return of


def by_macs(op: OpSpec) -> float:
    return 0.01 + op.macs / 1e6


@pytest.fixture(scope="session")
def make_table() -> MakeTable:
    def make(
        space: SearchSpace,
        cost_ms: Callable[[OpSpec], float] = by_macs,
        *,
        target: str = "local:onnxruntime",
        calibration: Calibration = Calibration(),  # noqa: B008 - frozen
    ) -> LatencyTable:
        entries = {
            op: Latency(median_ms=cost_ms(op), p90_ms=1.1 * cost_ms(op), spread=0.01, samples=100, verdict="steady")
            for op in space.op_specs()
        }
        return LatencyTable(
            target=Target.parse(target),
            environment=Environment({"cpu": "Imaginary 3000", "runtime_version": "1.0"}),
            protocol=protocol_named("quick"),
            entries=entries,
            calibration=calibration,
        )

    return make


@pytest.fixture(scope="session")
def millis() -> Millis:
    def run(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from pipeline.cli import main; main()", *map(str, words)]
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300, env=dict(os.environ)
        )

    return run
