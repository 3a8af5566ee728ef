"""Files that a target does not run: found on the way, left out, and told; all others are measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.kind import Kind
from deploy.variant import Variant
from pipeline.architecture import Architecture
from pipeline.device_trial import DoesNotRunError, Trial
from pipeline.plan import Plan, ProfilePlan, TargetPlan
from pipeline.run import Run
from pipeline.shipping import shipped_job
from pipeline.space import SearchSpace
from pipeline.stages.export import SCHEMA, Exports
from pipeline.stages.measure import MEASURE, read_failures, read_measured
from profilers.artifact import Artifact
from profilers.compile_cache import compile_all
from profilers.errors import DeviceError, DeviceLostError
from profilers.files import sha256_of, write_json
from profilers.precision import Precision
from profilers.target import Target

if TYPE_CHECKING:
    from tests.pipeline.conftest import Notes

TARGET = "local:onnxruntime"


@pytest.fixture
def exported(space: SearchSpace, notes: Notes, tmp_path: Path) -> Callable[..., Run]:
    """A run with an fp32 file, an fp16 and an int8 one, of which those named are no models: no runtime loads them."""

    def run(*broken: Precision, target: str = TARGET) -> Run:
        plan = Plan(
            name="t",
            space=space.name,
            data="digits",
            targets=(TargetPlan(target=target, budget="9ms"),),
            profile=ProfilePlan(protocol="quick"),
        )
        run = Run(folder=tmp_path / "run", plan=plan, watch=notes)
        graph = Architecture(space, tuple(0 for _ in space.decisions)).graph()
        [made] = compile_all({"fp32": shipped_job(graph, Kind("onnxruntime", "fp32"))}).values()
        precisions: tuple[Precision, ...] = ("fp32", "fp16", "int8")
        variants = [_variant(run, made, precision, precision in broken) for precision in precisions]
        document = asdict(Exports(variants=tuple(variants), refused={}, calibration_images=1))
        for each in document["variants"]:
            each["artifact"]["path"] = each["artifact"]["path"].name
        write_json(run.folder / "artifacts" / "exports.json", {"schema": SCHEMA, **document})
        return run

    return run


def _variant(run: Run, made: Artifact, precision: Precision, is_broken: bool) -> Variant:
    """The same model under another sum, for bytes that no reader minds follow it; or no model."""
    path = run.folder / "artifacts" / f"{precision}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(made.path, path)
    with path.open("ab") as file:
        file.write(_doc_string(precision))
    if is_broken:
        path.write_bytes(b"no model" + precision.encode())
    artifact = Artifact.of(path, format="onnx", inputs=made.inputs, outputs=made.outputs)
    return Variant(runtime="onnxruntime", precision=precision, artifact=artifact, answers="logits")


def _doc_string(text: str) -> bytes:
    """Field 6 of ONNX's ModelProto, as protobuf writes it."""
    return bytes((6 << 3 | 2, len(text))) + text.encode()


def test_files_that_a_target_does_not_run_are_left_out_and_told(exported: Callable[..., Run], notes: Notes) -> None:
    run = exported("fp16", "int8")
    MEASURE.perform(run)
    assert list(read_measured(run)[TARGET]) == ["fp32"]
    failures = read_failures(run)[TARGET]
    assert set(failures) == {"fp16", "int8"}
    for precision, reason in failures.items():
        assert f"{precision}.onnx failed" in reason and str(run.folder) not in reason
        assert any(f"does not run {precision}: " in note and note.endswith("left out") for note in notes.notes)


def test_where_every_file_runs_all_are_measured_in_one_sweep(exported: Callable[..., Run]) -> None:
    run = exported()
    MEASURE.perform(run)
    assert set(read_measured(run)[TARGET]) == {"fp32", "fp16", "int8"} and read_failures(run)[TARGET] == {}
    journal = (run.folder / "measured" / "local-onnxruntime.measurements.jsonl").read_text()
    assert sum("environment" in json.loads(line) for line in journal.splitlines()) == 1


@pytest.mark.parametrize(("broken", "target"), [("fp32", TARGET), ("int8", f"{TARGET}?precision=int8")])
def test_fp32_and_the_precision_of_the_target_must_run(
    broken: Precision, target: str, exported: Callable[..., Run]
) -> None:
    with pytest.raises(DeviceError, match=rf"{broken}\.onnx failed"):
        MEASURE.perform(exported(broken, target=target))


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"m")
    return Artifact.of(path, format="onnx", inputs=(), outputs=())


def test_a_device_that_is_lost_again_and_again_by_one_file_does_not_run_it(artifact: Artifact) -> None:
    trial, lost = Trial(Target.parse(TARGET), {"int8": artifact}), DeviceLostError("ended by signal 11")
    assert [trial.judge(artifact, lost) for _ in range(2)] == [lost, lost]
    verdict = trial.judge(artifact, lost)
    assert isinstance(verdict, DoesNotRunError) and verdict.reason == "ended by signal 11"


def test_a_file_that_ran_before_is_not_to_blame(artifact: Artifact) -> None:
    trial, hot = Trial(Target.parse(TARGET), {"int8": artifact}), DeviceError("the phone is hot")
    trial.passed(artifact)
    assert trial.judge(artifact, hot) is hot


def test_the_reason_names_no_folder_of_the_device(artifact: Artifact) -> None:
    place = f"/home/pi/.cache/{sha256_of(artifact.path)}.onnx"
    verdict = Trial(Target.parse(TARGET), {"int8": artifact}).judge(artifact, DeviceError(f"burst {place} failed: no"))
    assert isinstance(verdict, DoesNotRunError) and verdict.reason == "burst m.onnx failed: no"
