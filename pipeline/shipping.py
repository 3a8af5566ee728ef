"""What a plan ships: the files that are built of its network, and how each is compiled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING

from deploy.errors import PackagerError
from deploy.kind import Kind
from deploy.manifest import Answers
from deploy.packager import Packager
from deploy.packagers import load_packager
from pipeline.plan import Plan
from pipeline.profiling import compile_job
from profilers.compile_cache import CompileJob
from profilers.graph import Graph
from profilers.runtimes import RUNTIMES, installed, load_runtime

if TYPE_CHECKING:
    from torch import Tensor, nn

# Those whose applications expect logits, as PyTorch's do; the others' readers of models expect probabilities.
_LOGITS = frozenset({"onnxruntime", "pytorch"})


def kinds_of(plan: Plan) -> tuple[Kind, ...]:
    """Every file that a plan needs: those of its targets, and those among which its bundles choose.

    Each runtime's fp32 is among them: what the others are compared with.
    """
    wanted = [Kind(target.parsed.runtime, target.parsed.precision) for target in plan.targets]
    for name in plan.bundles:
        wanted += bundle_kinds(plan, load_packager(name))
    references = [Kind(runtime, "fp32") for runtime in dict.fromkeys(kind.runtime for kind in wanted)]
    return tuple(dict.fromkeys([*(kind for kind in references if kind.runtime in RUNTIMES), *wanted]))


def bundle_kinds(plan: Plan, packager: Packager) -> tuple[Kind, ...]:
    """The files among which a bundle chooses, of each runtime that a target measures, in the packager's order."""
    return tuple(_bundle_kinds(plan, packager))


def _bundle_kinds(plan: Plan, packager: Packager) -> Iterator[Kind]:
    for runtime in packager.runtimes:
        if plan.suiting(packager, runtime) or packager.unmeasured:
            made = load_runtime(runtime).precisions if runtime in RUNTIMES else packager.precisions
            possible = [precision for precision in packager.precisions if precision in made]
            asked = [precision for precision in possible if precision in plan.precisions]
            # A bundle that has none of the precisions asked for is made of what it has.
            yield from (Kind(runtime, precision) for precision in asked or possible)


def answers_of(runtime: str) -> Answers:
    """What the files of a runtime end in."""
    return "logits" if runtime in _LOGITS else "probabilities"


def shipped_module(network: nn.Module, runtime: str) -> nn.Module:
    """The network as a runtime's files hold it: with a softmax where they end in probabilities."""
    from torch import nn

    return network if answers_of(runtime) == "logits" else nn.Sequential(network, nn.Softmax(dim=1))


def shipped_job(
    graph: Graph, kind: Kind, network: nn.Module | None = None, calibration: Tensor | None = None
) -> CompileJob:
    """How a file is compiled, float32 at its edges: from `network`, or with seeded weights, which time the same.

    `calibration` are the images [M, C, H, W] that int8 takes its ranges from.
    """
    job = compile_job(graph, kind.runtime, network, precision=kind.precision)
    module = shipped_module(job.module, kind.runtime).eval()
    return replace(job, module=module, calibration=calibration, float_edges=True)


def require_makeable(plan: Plan) -> None:
    """Raise PackagerError for a package that some file needs, and what a bundle itself raises: before hours of work."""
    for name in plan.bundles:
        load_packager(name).require()
    for runtime in dict.fromkeys(kind.runtime for kind in kinds_of(plan)):
        try:
            for package in packages_of(runtime):
                installed(package)
        except PackageNotFoundError as error:
            raise PackagerError(
                f"{runtime} files need {error.name}, which is not installed: pip install 'millis[{runtime}]', or leave "
                "out the bundles that hold them"
            ) from None


def packages_of(runtime: str) -> tuple[str, ...]:
    """What makes the files of a runtime; Core ML's nothing here runs."""
    return load_runtime(runtime).packages if runtime in RUNTIMES else ("coremltools", "torch")
