"""A minuscule space, and latency tables of invented numbers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import pytest

from latency_tables.calibration import MeasuredNetwork
from latency_tables.table import Latency, LatencyTable
from pipeline.architecture import Architecture
from pipeline.cli import main
from pipeline.data import Data, load_data
from pipeline.space import NONE, Rule, SearchSpace
from pipeline.spaces import parse_space
from profilers.environment import Environment
from profilers.op_spec import OpSpec
from profilers.protocol import protocol_named
from profilers.target import Target

# Three decisions, twelve networks; the widest has 16 channels.
MINUSCULE = "mbconv-8?stem=8&first=8&widths=8,16&depths=2,1&strides=2,1&kernels=3&expands=1,2&head=16"


class MakeTable(Protocol):
    """A latency table of a space, each operation costing what `cost_ms` says; and networks that were measured."""

    def __call__(
        self,
        space: SearchSpace,
        cost_ms: Callable[[OpSpec], float] = ...,
        *,
        target: str = ...,
        networks: Sequence[MeasuredNetwork] = ...,
    ) -> LatencyTable: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command left: exit code and everything it wrote, whoever in its process wrote it."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.stdout)

    @property
    def problem(self) -> str:
        """What a command that failed says: one line, the last."""
        assert self.exit_code and "Traceback" not in self.stderr
        *notes, line = self.stderr.splitlines()
        assert line.startswith("millis: ") and not any(note.startswith("millis: ") for note in notes)
        return line.removeprefix("millis: ")


@dataclass
class Notes:
    """Keeps what a run tells."""

    notes: list[str] = field(default_factory=list)

    def progress(self, part: str, done: int, planned: int) -> None:
        self.notes.append(f"{part}: {done} of {planned}")

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def notes() -> Notes:
    return Notes()


class Millis(Protocol):
    """Run the command line: in this process, all but the interpreter's own start."""

    def __call__(self, *words: str | Path) -> Ended: ...


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
        choices = product(*(range(len(decision.labels)) for decision in space.decisions))
        return [Architecture(space, each) for each in choices if all(_keeps(space, rule, each) for rule in space.rules)]

    return of


def _keeps(space: SearchSpace, rule: Rule, choices: Sequence[int]) -> bool:
    return sum(space.decisions[place].labels[choices[place]] != NONE for place in rule.decisions) == rule.kept


def by_macs(op: OpSpec) -> float:
    return 0.01 + op.macs / 1e6


@pytest.fixture(scope="session")
def make_table() -> MakeTable:
    def make(
        space: SearchSpace,
        cost_ms: Callable[[OpSpec], float] = by_macs,
        *,
        target: str = "local:onnxruntime",
        networks: Sequence[MeasuredNetwork] = (),
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
            networks=tuple(networks),
        )

    return make


@pytest.fixture
def millis(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Millis:
    def run(*words: str | Path) -> Ended:
        monkeypatch.setattr(sys, "argv", ["millis", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        stdout, stderr = capfd.readouterr()
        return Ended(exit_code=code, stdout=stdout, stderr=stderr)

    return run


@pytest.fixture(scope="session")
def run_recipe() -> Callable[[Path], None]:
    """Run `tiny.yaml` of a folder into its `run`, in this process, which has imported the converters."""

    def run(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            patch.setattr(sys, "argv", ["millis", "run", "tiny.yaml", "-o", "run"])
            with pytest.raises(SystemExit, match=r"^0$"):
                main()

    return run
