"""Stage `export`: the trained network as every file that the plan may ship, each judged on real images."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.kind import Kind
from deploy.manifest import Accuracy
from deploy.parity import FP32_TOLERANCE, Parity, check_parity, measure_parity
from deploy.variant import Variant
from pipeline.run import Run
from pipeline.shipping import answers_of, kinds_of, require_makeable, shipped_job, shipped_module
from pipeline.stage import Stage
from profilers.artifact import Artifact
from profilers.compile_cache import CompileJob, compile_all
from profilers.errors import CompileError
from profilers.files import read_json, write_json
from profilers.runtimes import RUNTIMES, load_runtime

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.data import Split

SCHEMA = 2  # 1: compiled file and parity by runtime. 2: every variant with its accuracies, and what was refused
PARITY_IMAGES = 256
CALIBRATION_IMAGES = 128  # of those that the weights were trained on; int8 takes its ranges from them
EVALUATION_IMAGES = 5_000  # at most, of each split: 0.5 points of accuracy are 25 of them

_CHUNK = 250  # images in memory at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Exports:
    """The files that were made, and those that a converter refused with its reason, by the name of their kind."""

    variants: tuple[Variant, ...]
    refused: dict[str, str]
    calibration_images: int

    def variant(self, kind: Kind) -> Variant | None:
        return next((each for each in self.variants if each.name == kind.name), None)


def read_exports(run: Run) -> Exports:
    """What was exported; raises FileError."""
    stored = read_json(_record(run), Exports, kind="record of exports", schema=SCHEMA)
    variants = tuple(_at(each, _folder(run) / each.artifact.path) for each in stored.variants)
    return replace(stored, variants=variants)


def trained_network(run: Run) -> nn.Module:
    """The derived network with its trained weights, in evaluation mode."""
    from pipeline.checkpoint import load_weights

    network = run.architecture().graph().module()
    load_weights(run.weights_path, network)
    return network.eval()


def evenly(run: Run, split: Split, count: int) -> Tensor:
    """Images spread evenly over a split, as the network takes them: normalised fp32 [count, C, H, W]."""
    from pipeline.data.batches import normalised

    pixels, _ = split.read(_spread(split, count))
    return normalised(pixels, run.data.normalisation).contiguous()


def _spread(split: Split, count: int) -> Tensor:
    """At most `count` positions in a split, evenly."""
    import torch

    count = min(count, len(split))
    return torch.arange(count) * len(split) // count


def _folder(run: Run) -> Path:
    return run.folder / "artifacts"


def _record(run: Run) -> Path:
    return _folder(run) / "exports.json"


def _inputs(run: Run) -> Sequence[object]:
    kinds = [kind.name for kind in kinds_of(run.plan)]
    counts = [CALIBRATION_IMAGES, EVALUATION_IMAGES, PARITY_IMAGES]
    return [run.architecture_path, run.weights_path, run.plan.name, run.plan.data, run.plan.seed, kinds, counts]


def _outputs(run: Run) -> Sequence[Path]:
    return [_record(run)]


def _perform(run: Run) -> None:
    require_makeable(run.plan)
    network = trained_network(run)
    compiled, refused = _compiled(run, network)
    variants = [_judged(run, network, kind, artifact) for kind, artifact in compiled.items()]
    exports = Exports(
        variants=tuple(_at(each, each.artifact.path.relative_to(_folder(run))) for each in variants),
        refused=refused,
        calibration_images=min(CALIBRATION_IMAGES, len(run.data.weights)),
    )
    write_json(_record(run), {"schema": SCHEMA, **_plain(asdict(exports))})


def _compiled(run: Run, network: nn.Module) -> tuple[dict[Kind, Artifact], dict[str, str]]:
    """Every file in the run's folder; and what is not there, with why. Only what a bundle could do without may lack."""
    graph, kinds = run.architecture().graph(), kinds_of(run.plan)
    calibration = evenly(run, run.data.weights, CALIBRATION_IMAGES)
    jobs = {kind: shipped_job(graph, kind, network, calibration) for kind in kinds if kind.runtime in RUNTIMES}
    needed = {Kind(target.parsed.runtime, target.parsed.precision) for target in run.plan.targets}
    needed |= {kind for kind in jobs if kind.precision == "fp32"}
    made = _converted({kind: job for kind, job in jobs.items() if kind in needed})
    others, refused = _tried(run, {kind: job for kind, job in jobs.items() if kind not in needed})
    made |= others
    copied = {kind: _copied(run, kind, made[kind]) for kind in kinds if kind in made}
    elsewhere = {kind: _core_ml(run, network, kind) for kind in kinds if kind.runtime not in RUNTIMES}
    return copied | elsewhere, refused


def _tried(run: Run, jobs: Mapping[Kind, CompileJob]) -> tuple[dict[Kind, Artifact], dict[str, str]]:
    """What is converted, and why the rest is not."""
    try:
        return _converted(jobs), {}
    except CompileError:  # of one; what was converted beside it is kept, and costs nothing now
        return _one_by_one(run, jobs)


def _one_by_one(run: Run, jobs: Mapping[Kind, CompileJob]) -> tuple[dict[Kind, Artifact], dict[str, str]]:
    made: dict[Kind, Artifact] = {}
    refused: dict[str, str] = {}
    for kind, job in jobs.items():
        try:
            made |= _converted({kind: job})
        except CompileError as error:
            refused[kind.name] = str(error).removeprefix(f"{kind.name}: ")
            run.watch.note(f"{error}; left out")
    return made, refused


def _converted(jobs: Mapping[Kind, CompileJob]) -> dict[Kind, Artifact]:
    made = compile_all({kind.name: job for kind, job in jobs.items()})
    return {kind: made[kind.name] for kind in jobs}


def _copied(run: Run, kind: Kind, cached: Artifact) -> Artifact:
    """The file in the folder of the run, under a name of its own."""
    path = _path(run, kind, cached.format)
    shutil.copyfile(cached.path, path)
    return replace(cached, path=path)


def _core_ml(run: Run, network: nn.Module, kind: Kind) -> Artifact:
    """Core ML has no runtime here: its file is made, and nothing is measured of it."""
    from deploy.coreml import compile_coreml

    normalisation = run.data.normalisation
    return compile_coreml(
        shipped_module(network, kind.runtime),
        evenly(run, run.data.weights, 1),
        _path(run, kind, "mlpackage"),
        labels=run.data.classes,
        mean=normalisation.mean,
        std=normalisation.std,
    )


def _path(run: Run, kind: Kind, suffix: str) -> Path:
    path = _folder(run) / f"{run.plan.name}-{kind.precision}.{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _judged(run: Run, network: nn.Module, kind: Kind, artifact: Artifact) -> Variant:
    """How far the file is from PyTorch, and how often it is right: fp32 must agree, others may differ."""
    variant = Variant(
        runtime=kind.runtime, precision=kind.precision, artifact=artifact, answers=answers_of(kind.runtime)
    )
    if kind.runtime not in RUNTIMES:
        run.watch.note(f"{artifact.path.name}: made; nothing on this machine runs it")
        return variant
    parity = _parity(run, shipped_module(network, kind.runtime), variant)
    validation = _accuracy(run, variant, run.data.architecture)
    test = _accuracy(run, variant, run.data.test)
    run.watch.note(
        f"{artifact.path.name}: {parity.images} test images, max abs difference {parity.max_abs_difference:.2g}, "
        f"top-1 agreement {parity.top1_agreement:.1%}; "
        f"right on {validation.top1:.2%} of {validation.images} validation images"
    )
    return replace(variant, parity=parity, validation=validation, test=test)


def _parity(run: Run, module: nn.Module, variant: Variant) -> Parity:
    images, runtime = evenly(run, run.data.test, PARITY_IMAGES), load_runtime(variant.runtime)
    if variant.precision == "fp32":
        return check_parity(module, variant.artifact, runtime, images, tolerance=FP32_TOLERANCE)
    return measure_parity(module, variant.artifact, runtime, images)


def _accuracy(run: Run, variant: Variant, split: Split) -> Accuracy:
    """Of the file itself, on all images of a split, or on EVALUATION_IMAGES spread evenly over it."""
    import torch

    from pipeline.data.batches import normalised

    runtime, correct, images = load_runtime(variant.runtime), 0, 0
    for positions in torch.split(_spread(split, EVALUATION_IMAGES), _CHUNK):
        pixels, labels = split.read(positions)
        found = runtime.run(variant.artifact, normalised(pixels, run.data.normalisation).contiguous().numpy())
        correct += int((found.argmax(1) == labels.numpy()).sum())
        images += len(positions)
    return Accuracy.of(correct=correct, images=images)


def _at(variant: Variant, path: Path) -> Variant:
    return replace(variant, artifact=replace(variant.artifact, path=path))


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    for each in document["variants"]:
        each["artifact"]["path"] = str(each["artifact"]["path"])
    return document


EXPORT = Stage(name="export", inputs=_inputs, work="artifacts", outputs=_outputs, perform=_perform)
