"""What is benchmarked: the models of files, bundles and runs that a target can run, and what was promised of each."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import mkdtemp

from deploy.bundle_files import whole_bundle
from deploy.manifest import MANIFEST, Accuracy, Manifest, Model
from deploy.promise import Promise, nearest
from latency_tables.table import LatencyTable
from pipeline.architecture import Architecture
from pipeline.plan import load_plan
from pipeline.run import Run
from pipeline.spaces import parse_space
from pipeline.watcher import Watcher
from profilers.artifact import Artifact
from profilers.errors import FileError, TargetError
from profilers.model_files import SUFFIXES, Shapes, in_one_file, input_names, read_model
from profilers.precision import Precision
from profilers.runtimes import RUNTIMES, load_runtime
from profilers.target import Target

PLAN = "plan.json"  # which the folder of a run has


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A compiled model and what is known of it."""

    name: str
    artifact: Artifact
    precision: Precision | None = None  # None where the file is not ours
    promise: Promise | None = None
    accuracy: Accuracy | None = None
    data: str = ""

    @property
    def inputs(self) -> str:
        """As in `1x3x224x224 float32, 1 int64`."""
        return ", ".join(f"{'x'.join(map(str, each.shape))} {each.dtype}".strip() for each in self.artifact.inputs)

    @property
    def key(self) -> str:
        """What its measurements are kept under: other sizes are another subject."""
        return f"{self.name}: {self.inputs}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of every source: a target, sizes of inputs, and a table to predict by."""

    target: Target
    scratch: Path  # for files that must be unpacked
    watch: Watcher
    shapes: Shapes = field(default_factory=dict)
    table: LatencyTable | None = None

    def __post_init__(self) -> None:
        if self.table is not None and self.table.target.place != self.target.place:
            raise FileError(f"{self.table.path}: a table of {self.table.target}, which tells nothing of {self.target}")
        if self.shapes and self.target.kind == "adb":
            raise TargetError(
                f"{self.target}: over adb benchmark_model runs a model with the sizes in its file; leave out "
                "--shape, or export the model with the sizes wanted"
            )


def find_subjects(sources: Sequence[Path], question: Question) -> list[Subject]:
    """Every model that the target runs; raises MillisError for a source without one, and for one given twice."""
    files = [each for each in sources if each.suffix in SUFFIXES or (each.is_file() and each.suffix != ".zip")]
    _require_taken(question, files)
    found = [subject for source in sources for subject in _of_source(source, question, source in files)]
    twice = [name for name, count in Counter(subject.name for subject in found).items() if count > 1]
    if twice:
        raise FileError(f"{twice[0]}: given twice")
    if question.table is not None and not any(subject.promise for subject in found):
        raise FileError(
            f"{question.table.path}: predicts networks of {question.table.target.precision} whose operations are "
            "known, as those of a bundle or a run; there is none"
        )
    return found


def _of_source(source: Path, question: Question, is_file: bool) -> list[Subject]:
    if is_file:
        return [_of_file(source, question)]
    found = _of_run(source, question) if (source / PLAN).is_file() else _of_bundle(source, question)
    if not found:
        raise FileError(f"{source}: has no model for {question.target}")
    return found


def _of_file(path: Path, question: Question) -> Subject:
    names = set(input_names(path))
    shapes = {name: shape for name, shape in question.shapes.items() if name in names}
    artifact = read_model(path, shapes)
    if artifact.format != load_runtime(question.target.runtime).format:
        fitting = [name for name in RUNTIMES if load_runtime(name).format == artifact.format]
        raise TargetError(
            f"{path}: {question.target.runtime} does not run .{artifact.format} files; "
            f"--target {question.target.device}:{fitting[0]} does"
        )
    if artifact.format == "onnx":
        artifact = read_model(in_one_file(path, _own_folder(question)), shapes)
    return Subject(name=str(path), artifact=artifact)


def _require_taken(question: Question, files: Iterable[Path]) -> None:
    """Raise FileError for sizes of an input that no file takes."""
    names = [name for file in files for name in input_names(file)]
    for name in question.shapes:
        if name not in names:
            there = ", ".join(dict.fromkeys(names)) or "none: --shape is for .onnx and .tflite files"
            raise FileError(f"--shape {name}: no model takes such an input; there are {there}")


def _of_bundle(source: Path, question: Question) -> list[Subject]:
    if not source.exists() or (source.is_dir() and not (source / MANIFEST).is_file()):
        raise FileError(f"{source}: not a model, the folder or .zip of a bundle, or the folder of a run")
    with whole_bundle(source) as (folder, manifest):
        models = [model for model in manifest.models if _fits(model.runtime, model.precision, question.target)]
        return [_of_model(source, folder, manifest, model, question) for model in models]


def _of_model(source: Path, folder: Path, manifest: Manifest, model: Model, question: Question) -> Subject:
    """A model of a bundle, out of reach of what becomes of the bundle."""
    copy = _own_folder(question) / Path(model.path).name
    shutil.copyfile(folder / model.path, copy)
    promise, measured = None, nearest(model.measured, question.target)
    if question.table is not None:
        network = Architecture.from_labels(parse_space(manifest.network.space), manifest.network.choices)
        promise = _predicted(network, model.precision, question.table)
    if promise is None and measured is not None:
        promise = Promise.of(measured)
    return Subject(
        name=f"{source}: {model.path}",
        artifact=replace(model.artifact(folder), path=copy),
        precision=model.precision,
        promise=promise,
        accuracy=model.accuracy,
        data="" if manifest.data is None else manifest.data.name,
    )


def _of_run(folder: Path, question: Question) -> list[Subject]:
    from pipeline.stages.export import read_exports

    run = Run(folder=folder, plan=load_plan(folder), watch=question.watch)
    network = run.architecture()
    tables = [question.table] if question.table is not None else _own_tables(run, question.target)
    return [
        Subject(
            name=f"{folder}: {variant.artifact.path.name}",
            artifact=variant.artifact,
            precision=variant.precision,
            promise=next(filter(None, (_predicted(network, variant.precision, table) for table in tables)), None),
            accuracy=variant.test,
            data=run.plan.data,
        )
        for variant in read_exports(run).variants
        if _fits(variant.runtime, variant.precision, question.target)
    ]


def _own_tables(run: Run, target: Target) -> list[LatencyTable]:
    """Those that the run was searched with, of this target."""
    return [run.table(each) for each in run.plan.targets if Target.parse(each.target).place == target.place]


def _own_folder(question: Question) -> Path:
    return Path(mkdtemp(dir=question.scratch))


def _fits(runtime: str, precision: str, target: Target) -> bool:
    """A CPU runs every precision; an accelerator is asked for its target's own."""
    return runtime == target.runtime and (target.accelerator == "cpu" or precision == target.precision)


def _predicted(network: Architecture, precision: str, table: LatencyTable) -> Promise | None:
    if table.target.precision != precision:
        return None
    predicted = table.predict(network.ops())
    return Promise(
        ms=predicted.ms,
        statistic=table.protocol.statistic,
        interval_ms=predicted.interval_ms(0.9),
        source=f"predicted by {table.path}, with the interval that 90% of measurements lie in",
        device=dict(table.environment.facts),
    )
