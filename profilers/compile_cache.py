"""Compiled models, kept by content: nothing is converted twice, and conversions use all cores."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import inspect
import os
import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError
from itertools import islice
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from profilers.artifact import Artifact
from profilers.errors import CompileError, TargetError
from profilers.files import read_json, write_json
from profilers.precision import Precision
from profilers.runtimes import Runtime, installed, load_runtime

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = 1  # 1: <key>/model.<format> and <key>/artifact.json
_RECORD = "artifact.json"


@dataclass(frozen=True, slots=True)
class CompileJob:
    """One module to convert for one runtime. `example` is [N, C, H, W], `calibration` [M, C, H, W]."""

    runtime: str
    module: nn.Module
    example: Tensor
    precision: Precision = "fp32"
    calibration: Tensor | None = None  # images that int8 takes its ranges from; by default the example
    float_edges: bool = False  # float32 inputs and outputs in every precision

    @property
    def _converts_edges(self) -> bool:
        return self.float_edges and self.precision != "fp32"

    def key(self) -> str:
        """A hash of everything the converted file depends on: code, weights, input shape, ranges, converter versions.

        Raises TargetError where the runtime's packages are not installed.
        """
        runtime = load_runtime(self.runtime)
        digest = hashlib.sha256()
        for text in (
            f"schema {SCHEMA}, {runtime.name}, {self.precision}" + (", float edges" if self._converts_edges else ""),
            *_versions(runtime),
            f"{tuple(self.example.shape)} {self.example.dtype}",
            repr(self.module),
            *_attributes(self.module),
            *_sources(self.module),
        ):
            digest.update(text.encode() + b"\0")
        ranges = self.example if self.calibration is None else self.calibration
        images = [("ranges", ranges)] if self.precision == "int8" else []
        for name, tensor in (*self.module.named_parameters(), *self.module.named_buffers(), *images):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\0".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:32]


def default_cache() -> Path:
    """Where compiled models are kept: MILLIS_CACHE, or the user's cache folder."""
    from platformdirs import user_cache_path

    return Path(os.environ.get("MILLIS_CACHE") or user_cache_path("millis")) / "artifacts"


def compile_all(
    jobs: Mapping[str, CompileJob],
    *,
    cache: Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, planned: None,
) -> dict[str, Artifact]:
    """Convert every job that the cache does not hold, on all cores. Raises CompileError naming the job."""
    folder = cache or default_cache()
    entries = {name: folder / job.key() for name, job in jobs.items()}
    missing = {entry: name for name, entry in entries.items() if not (entry / _RECORD).exists()}  # equal jobs, once
    on_progress(0, len(missing))
    for done, _ in enumerate(_convert(jobs, missing), 1):
        on_progress(done, len(missing))
    return {name: _load(entry) for name, entry in entries.items()}


def _versions(runtime: Runtime) -> list[str]:
    try:
        return [installed(name) for name in runtime.packages]
    except PackageNotFoundError as error:
        raise TargetError(
            f"runtime {runtime.name} needs {error.name}, which is not installed: pip install 'millis[{runtime.name}]'"
        ) from None


def _attributes(module: nn.Module) -> Iterator[str]:
    """What a module's code may read and its representation may leave out, such as whether it has a shortcut."""
    for name, child in module.named_modules():
        values = {key: value for key, value in vars(child).items() if key[0] != "_" and key != "training"}
        yield f"{name} {sorted(values.items())}"


def _sources(module: nn.Module) -> list[str]:
    """The code that is converted, and ours that converts it."""
    from profilers import blocks, runtimes

    ours = {type(child).__module__ for child in module.modules() if not type(child).__module__.startswith("torch.")}
    converted = [inspect.getsource(sys.modules[name]) for name in sorted({*ours, blocks.__name__})]
    converters = [path.read_text(encoding="utf-8") for path in sorted(Path(runtimes.__path__[0]).glob("*.py"))]
    return converted + converters


def _convert(jobs: Mapping[str, CompileJob], missing: Mapping[Path, str]) -> Iterator[None]:
    if not missing:
        return
    workers = min(len(os.sched_getaffinity(0)), len(missing))
    # spawn: a converter must not inherit the threads of a process that has used torch
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet_worker) as pool:
        waiting = iter(missing.items())
        running: dict[Future[None], str] = {}
        try:
            while True:
                # Few at a time, and by value: what torch shares with a worker keeps a file open for each tensor.
                for entry, name in islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(_compile_pickled, pickle.dumps(jobs[name]), entry)] = name
                if not running:
                    return
                for future in wait_for(running, return_when=FIRST_COMPLETED).done:
                    _require_done(running.pop(future), future)
                    yield
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _require_done(name: str, future: Future[None]) -> None:
    try:
        future.result()
    except CompileError as error:
        raise CompileError(f"{name}: {error}") from error
    except BrokenProcessPool:
        raise CompileError(
            f"{name}: a conversion was killed, most likely for want of memory; "
            "finished ones are kept, run the same command again to go on"
        ) from None


def _quiet_worker() -> None:
    """One torch thread a worker, the converters' chatter out of the user's terminal, and no life after the parent's."""
    import torch

    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)


def _end_with_parent() -> None:
    """A parent that was killed leaves its workers waiting for work for ever, for each holds the queue open itself."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _compile_pickled(job: bytes, entry: Path) -> None:
    _compile_into(pickle.loads(job), entry)  # noqa: S301 - what this process's parent wrote a moment ago


def _compile_into(job: CompileJob, entry: Path) -> None:
    runtime = load_runtime(job.runtime)
    entry.mkdir(parents=True, exist_ok=True)
    final = entry / f"model.{runtime.format}"
    with _alone(entry), TemporaryDirectory(dir=entry, prefix=".converting-") as scratch:
        if (entry / _RECORD).exists():  # since another process began with it
            return
        path = Path(scratch) / final.name
        artifact = runtime.compile(job.module, job.example, path, job.precision, job.calibration, job.float_edges)
        artifact.path.replace(final)
        # Written last: an entry without it does not exist.
        write_json(entry / _RECORD, {"schema": SCHEMA} | asdict(artifact) | {"path": final.name})


@contextlib.contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """Meanwhile nobody else converts for the same entry; the system lifts the lock of a process that dies."""
    folder = os.open(entry, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _load(entry: Path) -> Artifact:
    stored = read_json(entry / _RECORD, Artifact, kind="compiled model", schema=SCHEMA)
    return replace(stored, path=entry / stored.path)
