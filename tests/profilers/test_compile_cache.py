from __future__ import annotations

import contextlib
import importlib
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from profilers import compile_cache
from profilers.artifact import Artifact
from profilers.blocks import MBConvBlock, build_chain
from profilers.compile_cache import CompileJob, compile_all, default_cache
from profilers.errors import CompileError, FileError, TargetError
from profilers.op_spec import OpSpec
from profilers.runtimes import onnxruntime

EXAMPLE = torch.zeros(1, 8, 8, 8)


def job(text: str = "mbconv in=8x8x8 out=8", *, runtime: str = "onnxruntime", seed: int = 0) -> CompileJob:
    torch.manual_seed(seed)
    return CompileJob(runtime, build_chain((OpSpec.parse(text),)).eval(), EXAMPLE)


def contents(folder: Path) -> dict[Path, int]:
    """Every file with the time it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def entries(folder: Path) -> list[Path]:
    return list(folder.glob("*/artifact.json"))


@pytest.fixture(scope="module", autouse=True)
def _workers() -> Iterator[None]:
    """Conversions in processes of their own, as users have them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_cache, "ProcessPoolExecutor", ProcessPoolExecutor)
        yield


@pytest.fixture(scope="module")
def jobs() -> dict[str, CompileJob]:
    """Two of a runtime that converts quickly, and one of them under another name."""
    ops = {"mbconv": "mbconv in=8x8x8 out=8", "conv": "conv in=8x8x8 out=8", "again": "conv in=8x8x8 out=8"}
    return {name: job(op, runtime="pytorch") for name, op in ops.items()}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def compiled(jobs: dict[str, CompileJob], cache: Path) -> dict[str, Artifact]:
    return compile_all(jobs, cache=cache)


def test_equal_jobs_are_converted_once_and_share_a_file(compiled: dict[str, Artifact], cache: Path) -> None:
    assert compiled["again"] == compiled["conv"]
    assert len(entries(cache)) == len(compiled) - 1


def test_what_was_converted_is_not_converted_again(
    compiled: dict[str, Artifact], jobs: dict[str, CompileJob], cache: Path
) -> None:
    before = contents(cache)
    told: list[tuple[int, int]] = []
    assert compile_all(jobs, cache=cache, on_progress=lambda *both: told.append(both)) == compiled
    assert contents(cache) == before
    assert told == [(0, 0)]


def test_a_conversion_leaves_a_model_its_record_and_nothing_else(compiled: dict[str, Artifact]) -> None:
    for name, artifact in compiled.items():
        assert artifact.path.name == f"model.{artifact.format}", name
        assert {path.name for path in artifact.path.parent.iterdir()} == {artifact.path.name, "artifact.json"}


def test_a_moved_cache_is_still_good(
    compiled: dict[str, Artifact], jobs: dict[str, CompileJob], cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved").symlink_to(cache)
    found = compile_all({"conv": jobs["conv"]}, cache=tmp_path / "moved")["conv"]
    assert found.path.parent.parent == tmp_path / "moved"
    assert found.sha256 == compiled["conv"].sha256


def test_the_key_is_the_same_in_every_process() -> None:
    program = """
import torch
from profilers.blocks import build_chain
from profilers.compile_cache import CompileJob
from profilers.op_spec import OpSpec
torch.manual_seed(0)
module = build_chain((OpSpec.parse("mbconv in=8x8x8 out=8"),)).eval()
print(CompileJob("onnxruntime", module, torch.zeros(1, 8, 8, 8)).key())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == job().key()


def without_shortcut(original: CompileJob) -> CompileJob:
    [block] = original.module.children()
    assert isinstance(block, MBConvBlock)
    block.shortcut = False
    return original


def with_other_statistics(original: CompileJob) -> CompileJob:
    next(layer for layer in original.module.modules() if isinstance(layer, nn.BatchNorm2d)).running_var.mul_(2)  # type: ignore[union-attr]
    return original


@pytest.mark.parametrize(
    "change",
    [
        lambda original: replace(original, runtime="litert"),
        lambda original: replace(original, example=torch.zeros(1, 8, 9, 8)),
        lambda original: replace(original, example=EXAMPLE.double()),
        lambda original: job(seed=1),
        lambda original: job("mbconv in=8x8x8 out=8 act=hswish"),
        lambda original: job("zero in=8x8x8"),
        without_shortcut,
        with_other_statistics,
    ],
)
def test_whatever_changes_the_file_changes_the_key(change: Callable[[CompileJob], CompileJob]) -> None:
    assert change(job()).key() != job().key()


def test_what_only_a_module_s_code_reads_changes_the_key() -> None:
    assert job("zero in=8x8x8").key() != job("zero in=8x8x8 stride=2").key()


def test_training_or_not_the_file_is_the_same() -> None:
    assert replace(job(), module=job().module.train()).key() == job().key()


def module_file(folder: Path, body: str) -> nn.Module:
    """A module of a package of somebody's own, imported from its file."""
    source = f"import os\nfrom torch import nn\n\nclass Own(nn.Module):\n    def forward(self, x):\n        {body}\n"
    (folder / "own_blocks.py").write_text(source)
    sys.modules.pop("own_blocks", None)
    importlib.invalidate_caches()
    module: nn.Module = importlib.import_module("own_blocks").Own()
    return module


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], CompileJob]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # two versions within a second
    return lambda body: CompileJob("onnxruntime", module_file(tmp_path, body), EXAMPLE)


def test_changed_code_changes_the_key(own: Callable[[str], CompileJob]) -> None:
    doubling, tripling, again = (own(f"return {factor} * x").key() for factor in (2, 3, 2))
    assert doubling != tripling
    assert doubling == again


def test_a_refusal_names_the_job_in_one_line_and_leaves_no_entry(tmp_path: Path) -> None:
    of_other_width = CompileJob("onnxruntime", nn.Conv2d(4, 8, 1), EXAMPLE)
    with pytest.raises(CompileError, match=r"^onnxruntime: wide: torch\.onnx\.export refused the module: ") as refused:
        compile_all({"onnxruntime: wide": of_other_width}, cache=tmp_path)
    assert "\n" not in str(refused.value)
    assert not entries(tmp_path)


def test_of_two_processes_that_want_the_same_only_one_converts_it(tmp_path: Path) -> None:
    wanted, entry = job(runtime="pytorch"), tmp_path / "entry"
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_cache._compile_into, [wanted, wanted], [entry, entry]))
        times = contents(entry)
        pool.submit(compile_cache._compile_into, wanted, entry).result()
    assert len(times) == 2 and contents(entry) == times


def test_a_killed_conversion_leaves_no_entry(own: Callable[[str], CompileJob], tmp_path: Path) -> None:
    fatal = own("os.kill(os.getpid(), 9)")
    with pytest.raises(CompileError, match=r"^own: a conversion was killed, .* run the same command again to go on"):
        compile_all({"own": fatal}, cache=tmp_path / "cache")
    assert not entries(tmp_path / "cache")


def test_a_spoilt_record_is_told_with_its_file(
    compiled: dict[str, Artifact], jobs: dict[str, CompileJob], tmp_path: Path
) -> None:
    record = tmp_path / jobs["again"].key() / "artifact.json"
    record.parent.mkdir()
    record.write_text(compiled["again"].path.with_name("artifact.json").read_text().replace("sha256", "md5"))
    with pytest.raises(FileError, match=r"artifact\.json: "):
        compile_all({"conv": jobs["again"]}, cache=tmp_path)


def test_a_runtime_that_is_not_installed_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = replace(onnxruntime.RUNTIME, packages=("no-such-package",))
    monkeypatch.setattr(onnxruntime, "RUNTIME", lacking)
    with pytest.raises(TargetError, match=r"needs no-such-package, .*: pip install 'millis\[onnxruntime\]'"):
        job().key()


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path))
    assert default_cache() == tmp_path / "artifacts"
    monkeypatch.delenv("MILLIS_CACHE")
    assert default_cache().parts[-2:] == ("millis", "artifacts")


def test_no_job_costs_no_process() -> None:
    assert compile_all({}) == {}


KILLED = """
import os, signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from profilers.compile_cache import _quiet_worker

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, mp_context=get_context("spawn"), initializer=_quiet_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_does_not_outlive_a_process_that_was_killed(tmp_path: Path) -> None:
    (tmp_path / "killed.py").write_text(KILLED)
    killed = subprocess.run([sys.executable, tmp_path / "killed.py"], capture_output=True, text=True, check=False)
    with contextlib.suppress(ProcessLookupError):  # ended already
        worker = os.pidfd_open(int(killed.stdout))
        assert select.select([worker], [], [], 60)[0]
        os.close(worker)
