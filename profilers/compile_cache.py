"""Compiled models, kept by content: nothing is converted twice, and conversions use all cores."""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from profilers.artifact import Artifact
from profilers.files import read_json, write_json
from profilers.runtimes import Runtime, load_runtime

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = 1  # 1: <key>/model.<format> and <key>/artifact.json


@dataclass(frozen=True, slots=True)
class CompileJob:
    """One module to convert for one runtime. `example` is [N, C, H, W]."""

    runtime: str
    module: nn.Module
    example: Tensor

    def key(self) -> str:
        """A hash of everything the converted file depends on: code, weights, input shape, converter versions."""
        runtime = load_runtime(self.runtime)
        digest = hashlib.sha256()
        described = [runtime.name, *(f"{name} {version(name)}" for name in runtime.packages)]
        described += [str(tuple(self.example.shape)), str(self.example.dtype), repr(self.module)]
        described += sorted({inspect.getsource(type(m)) for m in self.module.modules() if _is_ours(m)})
        described.append(inspect.getsource(sys.modules[type(runtime).__module__]))
        for text in described:
            digest.update(text.encode() + b"\0")
        for name, tensor in self.module.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
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
    """Convert every job that the cache does not hold, on all cores. Raises CompileError."""
    folder = cache or default_cache()
    keys = {name: job.key() for name, job in jobs.items()}
    missing = {key: jobs[name] for name, key in keys.items() if not (folder / key / "artifact.json").exists()}
    on_progress(0, len(missing))
    for done, _ in enumerate(_convert(missing, folder), 1):
        on_progress(done, len(missing))
    return {name: _load(folder / key) for name, key in keys.items()}


def _convert(missing: Mapping[str, CompileJob], folder: Path) -> Iterator[None]:
    if not missing:
        return
    workers = min(len(os.sched_getaffinity(0)), len(missing))
    # spawn: a converter must not inherit the threads of a process that has used torch
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_quiet_worker) as pool:
        futures = [pool.submit(_compile_into, job, folder / key) for key, job in missing.items()]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _quiet_worker() -> None:
    """One torch thread a worker, and the converters' chatter out of the user's terminal."""
    import torch

    torch.set_num_threads(1)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)


def _compile_into(job: CompileJob, entry: Path) -> None:
    runtime: Runtime = load_runtime(job.runtime)
    entry.mkdir(parents=True, exist_ok=True)
    final = entry / f"model.{runtime.format}"
    temporary = entry / f".{os.getpid()}.{runtime.format}"
    artifact = runtime.compile(job.module, job.example, temporary)
    temporary.replace(final)
    # Written last: an entry without it does not exist.
    write_json(entry / "artifact.json", {"schema": SCHEMA} | asdict(artifact) | {"path": final.name})


def _load(entry: Path) -> Artifact:
    stored = read_json(entry / "artifact.json", Artifact, kind="compiled model", schema=SCHEMA)
    return replace(stored, path=entry / stored.path)


def _is_ours(module: nn.Module) -> bool:
    return not type(module).__module__.startswith("torch.")
