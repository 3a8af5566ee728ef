"""Runtimes: what turns a module into a compiled file and runs it. Each loads its library only when asked."""

from __future__ import annotations

import contextlib
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from profilers.artifact import Artifact, Format
from profilers.check import Check
from profilers.errors import TargetError
from profilers.precision import Precision

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn


class Runtime(Protocol):
    """One inference library. Its timing loop is the agent's, so that a board can run it without this package."""

    name: str
    format: Format
    packages: tuple[str, ...]  # distributions whose versions the compiled file depends on
    precisions: tuple[Precision, ...]
    accelerators: tuple[str, ...]  # cpu first

    def compile(
        self,
        module: nn.Module,
        example: Tensor,
        path: Path,
        precision: Precision = "fp32",
        calibration: Tensor | None = None,
        float_edges: bool = False,
    ) -> Artifact:
        """Convert a module for inference: batch normalisation folded, the runtime's own layout at the edges.

        `example` is [N, C, H, W]. int8 takes its ranges from `calibration` [M, C, H, W], M a multiple of N, or else
        from `example`. Inputs and outputs are numbers of the precision, or float32 with `float_edges`, then converted
        inside. Raises CompileError with the converter's own words.
        """

    def run(self, artifact: Artifact, images: np.ndarray) -> np.ndarray:
        """The first output for `images`, fp32 [N, C, H, W], fed in the artifact's layout batch by batch."""


# Name of a runtime -> the module whose RUNTIME it is.
RUNTIMES = {
    "onnxruntime": "profilers.runtimes.onnxruntime",
    "litert": "profilers.runtimes.litert",
    "pytorch": "profilers.runtimes.pytorch",
}


# ONNX Runtime's packages share one module, so that one of them is installed.
_INSTEAD = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime-webgpu")}


def installed(package: str) -> str:
    """What is installed as a package, `onnxruntime-gpu 1.31.1`; raises PackageNotFoundError where nothing is."""
    for name in (package, *_INSTEAD.get(package, ())):
        with contextlib.suppress(PackageNotFoundError):
            return f"{name} {version(name)}"
    raise PackageNotFoundError(package)


def load_runtime(name: str) -> Runtime:
    """The runtime of that name; raises TargetError where there is none."""
    if name not in RUNTIMES:
        raise TargetError(f"runtime {name!r} is not available; there are: {', '.join(RUNTIMES)}")
    return cast(Runtime, import_module(RUNTIMES[name]).RUNTIME)


def runtime_check(name: str) -> Check:
    """Whether the packages that compile and run for a runtime are installed."""
    purpose = f"profile local:{name}"
    try:
        found = ", ".join(map(installed, load_runtime(name).packages))
    except PackageNotFoundError as error:
        return Check(name=purpose, ok=False, found=f"no {error.name}", mend=f"pip install 'millis[{name}]'")
    return Check(name=purpose, ok=True, found=found)
