"""A table measured over ssh by the command line, which is killed wherever it can be and started again."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from latency_tables.table_file import load_table
from pipeline.profiling import compile_job
from pipeline.spaces import parse_space
from profilers.compile_cache import compile_all
from profilers.graph import Graph
from profilers.op_spec import OpSpec
from tests.stand_ins.arm_board import ArmBoard
from tests.stand_ins.sshd import Sshd

OP = "conv in=56x56x64 out=128 kernel=3 stride=1"  # bursts long enough to be struck

Require = Callable[[str], Path]


@dataclass(kw_only=True)
class Profiling:
    """`millis profile` of a board into one table, by one process after another."""

    sshd: Sshd
    words: tuple[str, ...]
    table: Path
    cache: Path
    kills: Counter[str] = field(default_factory=Counter)
    _client: subprocess.Popen[bytes] | None = None

    def client(self) -> subprocess.Popen[bytes]:
        """The process, started again where it was killed or has given the board up."""
        if self._client is None or self._client.poll():
            program = ["-c", "from pipeline.cli import main; main()", "profile", *self.words, "-o", str(self.table)]
            environment = os.environ | {"MILLIS_SSH": self.sshd.client, "MILLIS_CACHE": str(self.cache)}
            words = [sys.executable, *program]
            silent = subprocess.DEVNULL
            self._client = subprocess.Popen(words, env=environment, stdin=silent, stdout=silent, stderr=silent)
        return self._client

    def is_done(self, seconds: float) -> bool:
        """Whether it is through within that time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.client().wait(timeout=seconds)
        return self.client().poll() == 0

    def journal(self) -> list[dict[str, object]]:
        path = self.table.with_suffix(".measurements.jsonl")
        whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
        return [json.loads(line) for line in whole.splitlines()]

    def bursts(self) -> Counter[tuple[object, ...]]:
        """How often each model was timed in each round, the sentinel left out."""
        return Counter((line["key"], line["round"], line["sha256"]) for line in self.journal() if line.get("key"))

    def wait_for(self, bursts: int) -> None:
        """Until the journal has so many more lines."""
        lines = len(self.journal()) + bursts
        while len(self.journal()) < lines and not self.is_done(0.05):
            pass

    def strike(self, victim: str) -> None:
        """Kill it where it is there to be killed, and count that."""
        if victim == "client":
            self.client().kill()
            self.kills[victim] += self.client().wait() != 0
        elif victim == "agent":
            self.kills[victim] += self.sshd.kill_agents()
        else:
            self.kills[victim] += bool(self.sshd.drop())
        if victim == "daemon":
            self.sshd.stop()
            self.sshd.start()


@pytest.mark.slow
def test_a_profile_killed_in_every_way_goes_on_to_a_whole_table(
    require: Require, tmp_path: Path, own_cache: Path
) -> None:
    require("sshd")
    compile_all({OP: compile_job(Graph.chain((OpSpec.parse(OP),)), "onnxruntime")})
    words = ("--target", "ssh:board:onnxruntime", "--op", OP)
    with Sshd(folder=tmp_path / "board", commands=Path(sys.executable).parent) as sshd:
        run = Profiling(sshd=sshd, words=words, table=tmp_path / "table.yaml", cache=own_cache)
        for victim in ("agent", "client", "connection", "daemon"):
            run.wait_for(bursts=2)
            run.strike(victim)
        while not run.is_done(60):
            pass
    assert set(load_table(run.table).entries) == {OpSpec.parse(OP)}
    assert set(run.bursts().values()) == {1}
    assert run.kills == {"agent": 1, "client": 1, "connection": 1, "daemon": 1}


@pytest.mark.slow
def test_a_space_profiled_on_an_arm_board_survives_being_killed_at_random_moments(
    require: Require, tmp_path: Path
) -> None:
    require("sshd")
    board, space, rng = ArmBoard(require("arm-board")), "mbconv-8", random.Random(3)
    words = ("--target", "ssh:board:litert", "--space", space)
    with Sshd(folder=tmp_path / "board", commands=board.commands) as sshd:
        run = Profiling(sshd=sshd, words=words, table=tmp_path / "table.yaml", cache=tmp_path / "cache")
        while run.kills.total() < 24:
            if rng.random() < 0.5:  # so that some come of measuring, however slow the machine
                run.wait_for(bursts=rng.randint(1, 20))
            assert not run.is_done(rng.uniform(0, 5)), "the space is too small for so many kills"
            run.strike(rng.choice(["client", "agent", "connection", "daemon"]))
        while not run.is_done(60):
            pass
    assert set(load_table(run.table).entries) == set(parse_space(space).op_specs())
    assert set(run.bursts().values()) == {1}
