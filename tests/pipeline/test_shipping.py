"""What a plan ships: which files are built, which of them go into a bundle, and how they are judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.errors import PackagerError
from deploy.kind import Kind
from deploy.manifest import Accuracy, Refused
from deploy.packagers import load_packager
from deploy.parity import Parity
from deploy.variant import Variant, Verdict
from latency_tables.table import Latency
from latency_tables.table_file import save_table
from pipeline.architecture import Architecture
from pipeline.plan import Plan, TargetPlan
from pipeline.run import Run
from pipeline.shipping import answers_of, bundle_kinds, kinds_of, require_makeable, shipped_job
from pipeline.space import SearchSpace
from pipeline.stages.export import Exports
from pipeline.stages.measure import MeasuredNetwork
from pipeline.stages.package import refused_for, verdicts_for, verdicts_on
from pipeline.stages.report import _precisions
from profilers.artifact import Artifact
from profilers.errors import DeviceError
from profilers.files import write_json
from profilers.precision import Precision

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Notes

Found = dict[str, tuple[float, int]]  # kind -> ms on its target, images right of 1,000 on validation


def plan_of(*targets: str, bundles: tuple[str, ...] = (), precisions: tuple[Precision, ...] = ()) -> Plan:
    plans = tuple(TargetPlan(target=target, budget="1ms") for target in targets)
    return Plan(name="t", space="mbconv-8", data="digits", targets=plans, bundles=bundles, precisions=precisions)


def names(plan: Plan) -> set[str]:
    return {kind.name for kind in kinds_of(plan)}


def test_a_run_without_bundles_builds_the_files_of_its_targets_and_fp32_beside_them() -> None:
    assert names(plan_of("local:onnxruntime")) == {"onnxruntime-fp32"}
    assert names(plan_of("local:litert?precision=int8")) == {"litert-fp32", "litert-int8"}


def test_bundles_want_each_precision_of_the_runtimes_that_are_measured() -> None:
    android = plan_of("local:litert", "local:onnxruntime", bundles=("android",))
    assert names(android) == {"onnxruntime-fp32", "litert-fp32", "litert-fp16", "litert-int8"}
    linux = plan_of("local:litert", bundles=("linux",))
    assert names(linux) == {"litert-fp32", "litert-int8"}  # nothing measures ONNX Runtime


def test_only_the_precisions_asked_for_are_built_where_a_bundle_has_one_of_them() -> None:
    plan = plan_of("local:litert", bundles=("android", "ios", "server-gpu"), precisions=("int8",))
    wanted = {"litert-fp32", "litert-int8", "coreml-fp16", "onnxruntime-fp32", "onnxruntime-fp16"}
    assert names(plan) == wanted


@pytest.mark.parametrize("bundle", ["ios", "server-gpu"])
def test_what_may_be_unmeasured_is_built_without_a_target(bundle: str) -> None:
    assert bundle_kinds(plan_of("local:litert", bundles=(bundle,)), load_packager(bundle))


@pytest.mark.parametrize(
    ("runtime", "answers"), [("onnxruntime", "logits"), ("litert", "probabilities"), ("coreml", "probabilities")]
)
def test_files_end_in_what_readers_of_their_format_expect(runtime: str, answers: str) -> None:
    assert answers_of(runtime) == answers


def test_a_file_to_ship_is_compiled_with_float32_edges(space: SearchSpace) -> None:
    graph = Architecture(space, tuple(0 for _ in space.decisions)).graph()
    job = shipped_job(graph, Kind("litert", "int8"))
    assert job.float_edges and job.precision == "int8"
    assert [type(part).__name__ for part in job.module.children()][-1] == "Softmax"
    assert shipped_job(graph, Kind("onnxruntime", "int8")).module is not job.module


@pytest.fixture
def exported(space: SearchSpace, make_table: MakeTable, tmp_path: Path, notes: Notes) -> Callable[..., Run]:
    """A run whose files were exported and measured, as its records say."""

    def run(found: dict[str, Found], *bundles: str, drop: float = 0.5, precisions: tuple[Precision, ...] = ()) -> Run:
        targets = []
        for target in found:
            table = make_table(space, target=target)
            path = tmp_path / f"{table.target.slug}.yaml"
            save_table(table, path)
            targets.append(TargetPlan(target=target, budget="1ms", table=str(path)))
        plan = Plan(
            name="t",
            space=space.name,
            data="digits",
            targets=tuple(targets),
            bundles=bundles,
            precisions=precisions,
            max_accuracy_drop=drop,
        )
        run = Run(folder=tmp_path / "run", plan=plan, watch=notes)
        Architecture(space, tuple(0 for _ in space.decisions)).save(run.architecture_path)
        _write(run, found)
        return run

    return run


def _write(run: Run, found: dict[str, Found]) -> None:
    right = {name: correct for each in found.values() for name, (_, correct) in each.items()}
    right |= {name: 900 for name in names(run.plan) if name not in right and not name.startswith("coreml")}
    exports = Exports(variants=tuple(_variant(*each) for each in right.items()), refused={}, calibration_images=8)
    document = asdict(exports)
    for each in document["variants"]:
        each["artifact"]["path"] = str(each["artifact"]["path"])
    write_json(run.folder / "artifacts" / "exports.json", {"schema": 2, **document})
    measured = {
        target: {name.partition("-")[2]: asdict(_measured(ms)) for name, (ms, _) in each.items()}
        for target, each in found.items()
    }
    write_json(run.folder / "measured" / "measured.json", {"schema": 3, "targets": measured})


def _variant(name: str, correct: int) -> Variant:
    runtime, _, precision = name.partition("-")
    size = {"fp32": 400, "fp16": 200, "int8": 100}[precision]
    return Variant(
        runtime=runtime,
        precision=precision,  # type: ignore[arg-type]
        artifact=Artifact(path=Path(name), format="onnx", inputs=(), outputs=(), size_bytes=size, sha256=name),
        answers=answers_of(runtime),
        parity=Parity(images=8, max_abs_difference=0.1, max_abs_logit=9, tolerance=None, top1_agreement=1),
        validation=Accuracy.of(correct=correct, images=1000),
        test=Accuracy.of(correct=correct, images=1000),
    )


def _measured(ms: float) -> MeasuredNetwork:
    latency = Latency(median_ms=ms, p90_ms=1.1 * ms, spread=0.01, samples=9, verdict="steady")
    return MeasuredNetwork(latency=latency, measured_ms=ms, environment={"runtime_version": "1"}, protocol="quick")


def told(verdicts: tuple[Verdict, ...]) -> list[tuple[str, bool]]:
    return [(verdict.candidate.variant.name, verdict.shipped) for verdict in verdicts]


LITERT: Found = {"litert-fp32": (0.4, 900), "litert-fp16": (0.41, 900), "litert-int8": (0.2, 897)}
ONNX: Found = {"onnxruntime-fp32": (0.3, 900), "onnxruntime-int8": (0.5, 899)}


def test_a_bundle_ships_the_best_of_what_was_measured_on_its_device(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert": LITERT, "local:onnxruntime": ONNX}, "android", "server-cpu")
    assert told(verdicts_for(run, load_packager("android"))) == [
        ("litert-int8", True),
        ("litert-fp32", True),
        ("litert-fp16", False),
    ]
    assert told(verdicts_for(run, load_packager("server-cpu"))) == [
        ("onnxruntime-fp32", True),
        ("onnxruntime-int8", False),
    ]


def test_the_drop_that_is_allowed_decides_too(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert": LITERT}, "android", drop=0.2)
    assert told(verdicts_for(run, load_packager("android")))[0] == ("litert-fp32", True)


def test_the_likeliest_device_decides_and_the_others_are_told(exported: Callable[..., Run]) -> None:
    slow_int8 = LITERT | {"litert-int8": (0.9, 897)}
    run = exported({"local:litert": slow_int8, "adb:PHONE:litert": LITERT}, "android")
    first = verdicts_for(run, load_packager("android"))[0].candidate
    assert first.variant.name == "litert-int8"
    assert [each.target for each in first.measured] == [
        "adb:PHONE:litert?precision=int8",
        "local:litert?precision=int8",
    ]


def test_a_prediction_stands_only_beside_the_precision_it_is_of(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert": LITERT}, "android")
    by_name = {v.candidate.variant.name: v.candidate for v in verdicts_for(run, load_packager("android"))}
    assert by_name["litert-fp32"].measured[0].predicted_ms is not None
    assert by_name["litert-int8"].measured[0].predicted_ms is None


def test_a_device_is_recorded_with_the_precision_of_the_file(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert": LITERT}, "android")
    for verdict in verdicts_for(run, load_packager("android")):
        assert all(each.device["precision"] == each.precision for each in verdict.candidate.measured)


def test_fp32_that_was_not_asked_for_is_only_compared_with(exported: Callable[..., Run]) -> None:
    found = {"local:litert": {name: LITERT[name] for name in ("litert-fp32", "litert-int8")}}
    run = exported(found, "android", precisions=("int8",))
    assert told(verdicts_for(run, load_packager("android"))) == [("litert-int8", True), ("litert-fp32", False)]


def test_boards_get_a_file_of_each_runtime_the_main_one_first(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert": LITERT, "local:onnxruntime": ONNX}, "linux")
    shipped = [name for name, is_shipped in told(verdicts_for(run, load_packager("linux"))) if is_shipped]
    assert shipped[0] == "litert-int8" and "onnxruntime-fp32" in shipped


def test_boards_get_the_faster_runtime_first_by_what_one_device_measured(exported: Callable[..., Run]) -> None:
    faster = ONNX | {"onnxruntime-fp32": (0.1, 900)}
    run = exported({"local:litert": LITERT, "local:onnxruntime": faster}, "linux")
    assert told(verdicts_for(run, load_packager("linux")))[0] == ("onnxruntime-fp32", True)
    boards: dict[str, Found] = {"ssh:a:litert": LITERT, "ssh:b:litert": LITERT, "ssh:b:onnxruntime": ONNX}
    slower = boards | {"ssh:b:litert": {name: (9 * ms, right) for name, (ms, right) in LITERT.items()}}
    firsts = [told(verdicts_for(exported(each, "linux"), load_packager("linux")))[0] for each in (boards, slower)]
    assert firsts == [("litert-int8", True), ("onnxruntime-fp32", True)]


def test_runtimes_that_no_device_measured_both_keep_their_order(exported: Callable[..., Run]) -> None:
    run = exported({"ssh:a:litert": LITERT, "ssh:b:onnxruntime": ONNX | {"onnxruntime-fp32": (0.1, 900)}}, "linux")
    assert told(verdicts_for(run, load_packager("linux")))[0] == ("litert-int8", True)


def test_a_file_that_a_target_does_not_run_is_left_out_of_its_bundles(exported: Callable[..., Run]) -> None:
    only_fp32 = {"litert-fp32": LITERT["litert-fp32"]}
    run = exported({"adb:PHONE:litert": only_fp32, "local:litert": LITERT}, "android")
    _edit(run.folder / "measured" / "measured.json", failed={"adb:PHONE:litert": {"int8": "no such op"}})
    verdicts = verdicts_for(run, load_packager("android"))
    assert told(verdicts)[0] == ("litert-fp32", True) and ("litert-int8", False) in told(verdicts)
    assert verdicts[-1].reason.startswith("does not run on adb:PHONE:litert: no such op")


def test_each_phone_gets_what_is_best_on_its_chip_and_the_report_says_so(exported: Callable[..., Run]) -> None:
    slow = LITERT | {"litert-int8": (0.9, 897)}
    run = exported({"adb:a:litert": LITERT, "adb:b:litert": slow}, "android")
    path = run.folder / "measured" / "measured.json"
    targets = json.loads(path.read_text())["targets"]
    for chip, found in zip(("SM8750", "MT6991"), targets.values(), strict=True):
        for each in found.values():
            each["environment"] |= {"soc_manufacturer": "QTI", "soc": chip}
    _edit(path, targets=targets)
    assert told(verdicts_for(run, load_packager("android")))[:2] == [("litert-fp32", True), ("litert-int8", True)]
    firsts = [_precisions(run, target)[0] for target in run.plan.targets]
    assert [(each.precision, each.measured_ms) for each in firsts] == [("int8", 0.2), ("fp32", 0.4)]
    assert firsts[0].reason.startswith("0.2 ms on adb:a:litert, the fastest")


def test_what_a_converter_refused_is_told_to_the_bundles_that_would_have_had_it(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert": LITERT, "local:onnxruntime": ONNX}, "android", "server-cpu")
    _edit(run.folder / "artifacts" / "exports.json", refused={"onnxruntime-int8": "no such op"})
    refused = Refused(runtime="onnxruntime", precision="int8", reason="no such op")
    assert refused_for(run, load_packager("server-cpu")) == (refused,)
    assert refused_for(run, load_packager("android")) == ()


def _edit(path: Path, **changes: object) -> None:
    write_json(path, json.loads(path.read_text()) | changes)


def test_a_page_gets_the_faster_runtime(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert": LITERT, "local:onnxruntime": ONNX | {"onnxruntime-fp32": (0.1, 900)}}, "web")
    assert told(verdicts_for(run, load_packager("web")))[0] == ("onnxruntime-fp32", True)


def test_without_a_gpu_the_smaller_file_that_is_accurate_goes_to_servers_that_have_one(
    exported: Callable[..., Run],
) -> None:
    run = exported({"local:litert": LITERT}, "server-gpu")
    first = verdicts_for(run, load_packager("server-gpu"))[0]
    assert (first.candidate.variant.name, first.candidate.measured) == ("onnxruntime-fp16", ())


def test_a_report_tells_what_the_bundle_ships_before_everything_else(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert": LITERT}, "android")
    reports = _precisions(run, run.plan.targets[0])
    assert [(each.precision, each.shipped) for each in reports] == [("int8", True), ("fp32", True), ("fp16", False)]
    assert reports[0].validation_accuracy == 0.897


def test_without_a_bundle_a_target_is_judged_by_itself(exported: Callable[..., Run]) -> None:
    run = exported({"local:litert?precision=int8": LITERT})
    (target,) = run.plan.targets
    assert told(verdicts_on(run, target))[0] == ("litert-int8", True)
    worse = exported({"local:litert?precision=int8": LITERT | {"litert-int8": (0.2, 800)}})
    assert told(verdicts_on(worse, target))[0] == ("litert-fp32", True)


def test_a_package_that_a_file_needs_is_missed_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "coremltools":
            raise metadata.PackageNotFoundError(package)
        return metadata.version(package)

    monkeypatch.setattr("profilers.runtimes.version", version)
    require_makeable(plan_of("local:litert", bundles=("android",)))
    with pytest.raises(PackagerError, match=r"coreml files need coremltools, .*pip install 'millis\[coreml\]'"):
        require_makeable(plan_of("local:litert", bundles=("android", "ios")))


def test_a_page_without_the_browsers_runtimes_is_told_before_any_work(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path))
    with pytest.raises(DeviceError, match="millis setup browser"):
        require_makeable(plan_of("local:litert", bundles=("web",)))
