"""Stage `export`: the trained network as the file of each target's runtime, compared with PyTorch on real images."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from deploy.parity import FP32_TOLERANCE, Parity, check_parity
from pipeline.profiling import compile_job
from pipeline.run import Run
from pipeline.stage import Stage
from profilers.artifact import Artifact
from profilers.compile_cache import compile_all
from profilers.files import read_json, write_json
from profilers.runtimes import load_runtime
from profilers.target import Target

if TYPE_CHECKING:
    from torch import Tensor, nn

SCHEMA = 1  # 1: compiled file and parity by runtime
PARITY_IMAGES = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A compiled file of the trained network and how far it is from PyTorch."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    artifact: Artifact
    parity: Parity


def read_exports(run: Run) -> dict[str, Exported]:
    """What was exported, by runtime."""
    stored = read_json(_record(run), _Record, kind="record of exports", schema=SCHEMA).exports
    return {
        runtime: replace(one, artifact=replace(one.artifact, path=run.folder / "artifacts" / one.artifact.path))
        for runtime, one in stored.items()
    }


def trained_network(run: Run) -> nn.Module:
    """The derived network with its trained weights, in evaluation mode."""
    from pipeline.checkpoint import load_weights

    network = run.architecture().graph().module()
    load_weights(run.weights_path, network)
    return network.eval()


def test_images(run: Run, count: int) -> Tensor:
    """Real images, as the network takes them: normalised fp32 [count, C, H, W]."""
    import torch

    from pipeline.data.batches import normalised

    count = min(count, len(run.data.test))
    pixels, _ = run.data.test.read(torch.arange(count) * len(run.data.test) // count)
    return normalised(pixels, run.data.normalisation)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    exports: dict[str, Exported]


def _record(run: Run) -> Path:
    return run.folder / "artifacts" / "exports.json"


def _runtimes(run: Run) -> list[str]:
    return list(dict.fromkeys(Target.parse(target.target).runtime for target in run.plan.targets))


def _inputs(run: Run) -> Sequence[object]:
    return [run.architecture_path, run.weights_path, run.plan.name, run.plan.data, _runtimes(run)]


def _outputs(run: Run) -> Sequence[Path]:
    return [_record(run)]


def _perform(run: Run) -> None:
    network = trained_network(run)
    graph = run.architecture().graph()
    compiled = compile_all({runtime: compile_job(graph, runtime, network) for runtime in _runtimes(run)})
    images = test_images(run, PARITY_IMAGES)
    exports: dict[str, Exported] = {}
    for runtime, cached in compiled.items():
        shipped = run.folder / "artifacts" / f"{run.plan.name}.{cached.format}"
        shipped.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cached.path, shipped)
        artifact = replace(cached, path=shipped)
        parity = check_parity(network, artifact, load_runtime(runtime), images, tolerance=FP32_TOLERANCE)
        run.watch.note(
            f"{shipped.name}: {parity.images} test images, max abs difference {parity.max_abs_difference:.2g}, "
            f"top-1 agreement {parity.top1_agreement:.1%}"
        )
        exports[runtime] = Exported(artifact=replace(artifact, path=Path(shipped.name)), parity=parity)
    document = {runtime: asdict(one) for runtime, one in exports.items()}
    for one in document.values():
        one["artifact"]["path"] = str(one["artifact"]["path"])
    write_json(_record(run), {"schema": SCHEMA, "exports": document})


EXPORT = Stage(name="export", inputs=_inputs, work="artifacts", outputs=_outputs, perform=_perform)
