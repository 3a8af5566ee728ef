from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.variant import Variant
from latency_tables.calibration import MeasuredNetwork
from latency_tables.table_file import save_table
from pipeline.architecture import Architecture
from pipeline.benchmarking import ratio_of, shape_of
from pipeline.plan import Plan, TargetPlan
from pipeline.profiling import compile_job
from pipeline.space import SearchSpace
from pipeline.stages import export
from profilers.artifact import Artifact
from profilers.environment import Environment
from profilers.errors import TargetError
from profilers.files import write_json
from profilers.measurement import Burst, Measurement
from profilers.op_spec import OpSpec
from profilers.runtimes import load_runtime
from tests.profilers.foreign_models import write_scaling_model, write_text_model, write_tflite_model

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Millis

ONNX = "local:onnxruntime"
QUICK = ["--protocol", "quick"]
COLUMNS = ("median ms", "p90 ms", "spread", "samples", "verdict")


@pytest.fixture
def text_model(tmp_path: Path) -> Path:
    return write_text_model(tmp_path / "text.onnx")


@pytest.fixture
def scaling_model(tmp_path: Path) -> Path:
    return write_scaling_model(tmp_path / "scaling.onnx", ["n", 3])


@pytest.fixture(scope="module")
def network(space: SearchSpace) -> Architecture:
    return Architecture(space, tuple(0 for _ in space.decisions))


@pytest.fixture(scope="module")
def compiled(network: Architecture, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    job = compile_job(network.graph(), "onnxruntime")
    return load_runtime("onnxruntime").compile(job.module, job.example, tmp_path_factory.mktemp("onnx") / "tiny.onnx")


@pytest.fixture
def run_folder(network: Architecture, compiled: Artifact, make_table: MakeTable, tmp_path: Path) -> Path:
    """What a run leaves when its network is exported, with a table of invented numbers for one target."""
    folder, table = tmp_path / "run", tmp_path / "table.yaml"
    measured = MeasuredNetwork(name="n", ops=paid(network), measured_ms=0.5, spread=0.01)
    save_table(make_table(network.space, networks=[measured]), table)
    target = TargetPlan(target=ONNX, budget="60%", table=str(table))
    Plan(name="tiny", space=network.space.name, data="digits", targets=(target,)).save(folder)
    network.save(folder / "architecture.json")
    artifacts = folder / "artifacts"
    artifacts.mkdir()
    (artifacts / "tiny.onnx").write_bytes(compiled.path.read_bytes())
    artifact = replace(compiled, path=Path("tiny.onnx"))
    variant = Variant(runtime="onnxruntime", precision="fp32", artifact=artifact, answers="logits")
    exports = asdict(export.Exports(variants=(variant,), refused={}, calibration_images=1))
    exports["variants"][0]["artifact"]["path"] = "tiny.onnx"
    write_json(artifacts / "exports.json", {"schema": export.SCHEMA, **exports})
    return folder


def paid(network: Architecture) -> tuple[OpSpec, ...]:
    return tuple(op for op in network.ops() if not op.free)


def test_a_foreign_model_is_measured_with_what_is_known_of_each_number(millis: Millis, text_model: Path) -> None:
    ended = millis("benchmark", text_model, "--target", ONNX, *QUICK)
    assert ended.exit_code == 0
    assert all(column in ended.stdout for column in COLUMNS)
    assert "1x1 int64, 1x1 bool," in ended.stdout
    assert "inputs of integers wider than a byte were fed zeros and ones" in ended.stdout
    assert "runtime_version" in ended.stdout


def test_sizes_that_are_chosen_are_those_that_are_measured(millis: Millis, text_model: Path) -> None:
    asked = ["--shape", "ids=2x9", "--shape", "scale="]
    [model] = millis("benchmark", text_model, "--target", ONNX, *asked, *QUICK, "--json").json["models"]
    assert model["inputs"]["mask"] == {"shape": [2, 9], "dtype": "bool"}
    assert 0 < model["median_ms"] <= model["p90_ms"]
    assert model["promised"] is None


def test_litert_models_of_others_are_measured_too(millis: Millis, tmp_path: Path) -> None:
    path = write_tflite_model(tmp_path / "rows.tflite")
    found = millis("benchmark", path, "--target", "local:litert", "--shape", "numbers=5", *QUICK, "--json").json
    assert found["models"][0]["inputs"]["numbers"]["shape"] == [5]
    assert found["environment"]["runtime"] == "litert"


def test_several_models_are_measured_in_turns_and_compared(
    millis: Millis, text_model: Path, scaling_model: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "raw.jsonl"
    found = millis("benchmark", text_model, scaling_model, "--target", ONNX, *QUICK, "-o", journal, "--json").json
    first, second = found["models"]
    assert first["ratio"] is None
    assert second["ratio"]["least"] <= second["ratio"]["median"] <= second["ratio"]["most"]
    lines = [line for line in map(json.loads, journal.read_text().splitlines()) if line.get("key")]
    rounds = {line["round"] for line in lines}
    assert all(len({line["key"] for line in lines if line["round"] == number}) == 2 for number in rounds)


def test_no_number_is_cut_off_beside_long_names(
    millis: Millis, run_folder: Path, scaling_model: Path, tmp_path: Path
) -> None:
    long = tmp_path / ("a" * 100) / f"{'b' * 100}.onnx"
    long.parent.mkdir()
    long.write_bytes(scaling_model.read_bytes())
    ended = millis("benchmark", run_folder, long, "--target", ONNX, *QUICK)
    table = [line for line in ended.stdout.splitlines() if " float32 " in line]
    assert len(table) == 2
    assert all("…" not in line.split(" float32 ")[1] for line in table)
    assert "bbbb.onnx" in table[1]


def test_raw_times_that_were_kept_are_not_taken_again(millis: Millis, scaling_model: Path, tmp_path: Path) -> None:
    words: list[str | Path] = [
        "benchmark",
        scaling_model,
        "--target",
        ONNX,
        *QUICK,
        "--json",
        "-o",
        tmp_path / "raw.jsonl",
    ]
    first = millis(*words).json
    lines = (tmp_path / "raw.jsonl").read_text().splitlines()
    assert millis(*words).json == first
    assert (tmp_path / "raw.jsonl").read_text().splitlines() == lines


def test_other_sizes_are_another_measurement(millis: Millis, scaling_model: Path, tmp_path: Path) -> None:
    words: list[str | Path] = ["benchmark", scaling_model, "--target", ONNX, *QUICK, "-o", tmp_path / "raw.jsonl"]
    millis(*words)
    millis(*words, "--shape", "x=4x3")
    keys = {json.loads(line).get("key") for line in (tmp_path / "raw.jsonl").read_text().splitlines()} - {None}
    assert len(keys) == 2


def test_a_run_is_measured_beside_what_its_own_table_predicts(
    millis: Millis, run_folder: Path, network: Architecture
) -> None:
    from latency_tables.table_file import load_table

    [model] = millis("benchmark", run_folder, "--target", ONNX, *QUICK, "--json").json["models"]
    predicted = load_table(run_folder.parent / "table.yaml").predict(network.ops())
    assert model["promised"]["ms"] == pytest.approx(predicted.ms)
    assert model["promised"]["interval_ms"] == pytest.approx(predicted.interval_ms(0.9))
    assert model["difference"] == pytest.approx(model["measured_ms"] / predicted.ms - 1)
    assert model["promised"]["statistic"] == "median"
    assert model["kept"] is None  # the table is of an imaginary device
    assert any("Imaginary 3000" in line for line in model["differs"])


def test_what_was_promised_stands_in_the_table_beside_the_difference(millis: Millis, run_folder: Path) -> None:
    ended = millis("benchmark", run_folder, "--target", ONNX, *QUICK)
    assert all(column in ended.stdout for column in ("promised ms", "as promised", "difference"))
    assert "predicted by " in ended.stdout


def test_a_table_can_be_named_to_predict_by(
    millis: Millis, run_folder: Path, network: Architecture, make_table: MakeTable, tmp_path: Path
) -> None:
    other = tmp_path / "other.yaml"
    save_table(make_table(network.space, lambda op: 1.0), other)
    asked: list[str | Path] = ["--target", ONNX, "--table", other, *QUICK, "--json"]
    [model] = millis("benchmark", run_folder, *asked).json["models"]
    assert str(other) in model["promised"]["source"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["missing.onnx"], "missing.onnx: no such model"),
        (["missing"], "missing: not a model, the folder or .zip of a bundle, or the folder of a run"),
        (["text.pb"], "text.pb: not a model that can be measured"),
        (["torn.onnx"], "torn.onnx: not an ONNX model, or torn"),
        (["text.onnx", "text.onnx"], "text.onnx: given twice"),
        (["text.onnx", "--shape", "ids"], "--shape 'ids': write NAME=SIZES"),
        (["text.onnx", "--shape", "words=1x2"], "--shape words: no model takes such an input; there are ids, mask"),
        (["text.onnx", "--shape", "ids=1"], "input ids is batchxwords, and cannot be 1"),
        (["text.onnx", "--protocol", "hasty"], "no protocol 'hasty'"),
    ],
)
def test_what_cannot_be_measured_is_told_in_one_line(
    millis: Millis, text_model: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(text_model.parent)
    Path("torn.onnx").write_bytes(text_model.read_bytes()[:50])
    Path("text.pb").write_bytes(b"")
    assert told in millis("benchmark", *words, "--target", ONNX).problem


def test_a_file_of_another_runtime_names_the_target_that_runs_it(millis: Millis, text_model: Path) -> None:
    problem = millis("benchmark", text_model, "--target", "local:litert").problem
    assert "litert does not run .onnx files; --target local:onnxruntime does" in problem


def test_a_model_that_the_runtime_refuses_is_named_with_its_words(millis: Millis, tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    from tests.profilers.foreign_models import write_onnx

    edge = (TensorProto.FLOAT, [1])
    path = write_onnx(
        tmp_path / "odd.onnx", [helper.make_node("NoSuchOperation", ["x"], ["y"])], {"x": edge}, {"y": edge}
    )
    problem = millis("benchmark", path, "--target", ONNX, *QUICK).problem
    assert "odd.onnx failed" in problem and "NoSuchOperation" in problem


def test_a_batch_that_the_file_does_not_take_is_refused(millis: Millis, tmp_path: Path) -> None:
    path = write_scaling_model(tmp_path / "m.onnx", [2, 3])
    assert "compiled for batches of 2, not of 4" in millis("benchmark", path, "--target", f"{ONNX}?batch=4").problem


def test_a_table_of_another_target_is_refused(
    millis: Millis, run_folder: Path, space: SearchSpace, make_table: MakeTable
) -> None:
    other = run_folder / "other.yaml"
    save_table(make_table(space, target="local:litert"), other)
    assert "a table of local:litert" in millis("benchmark", run_folder, "--target", ONNX, "--table", other).problem


def test_a_table_tells_nothing_of_a_foreign_file(millis: Millis, run_folder: Path, scaling_model: Path) -> None:
    table = run_folder.parent / "table.yaml"
    problem = millis("benchmark", scaling_model, "--target", ONNX, "--table", table).problem
    assert "whose operations are known, as those of a bundle or a run" in problem


def test_sizes_cannot_be_chosen_over_adb(millis: Millis, tmp_path: Path) -> None:
    path = write_tflite_model(tmp_path / "rows.tflite")
    problem = millis("benchmark", path, "--target", "adb:litert", "--shape", "numbers=4").problem
    assert "over adb benchmark_model runs a model with the sizes in its file" in problem


def test_mlperf_s_form_and_the_overlay_are_written_on_the_way(
    millis: Millis, scaling_model: Path, tmp_path: Path
) -> None:
    form, overlay = tmp_path / "mlperf.json", tmp_path / "overlay.json"
    asked: list[str | Path] = ["--shape", "x=64x3", "--mlperf", form, "--overlay", overlay, *QUICK, "--json"]
    [model] = millis("benchmark", scaling_model, "--target", ONNX, *asked).json["models"]
    [result] = json.loads(form.read_text())["results"]
    p90_ns = result["performance_run"]["loadgen_latencies"]["result_90.00_percentile_latency_ns"]
    assert p90_ns == pytest.approx(model["p90_ms"] * 1e6, abs=1)
    assert result["performance_run"]["measured_samples"] == model["samples"]
    assert json.loads(overlay.read_text())["results"].keys() == {"double"}


def test_an_overlay_is_of_one_model_and_of_a_runtime_that_tells_of_operations(
    millis: Millis, scaling_model: Path, text_model: Path, tmp_path: Path
) -> None:
    overlay: list[str | Path] = ["--overlay", tmp_path / "overlay.json"]
    assert millis("benchmark", scaling_model, text_model, "--target", ONNX, *overlay).exit_code == 2
    problem = millis("benchmark", tmp_path / "rows.tflite", "--target", "local:litert", *overlay).problem
    assert "LiteRT's Python package tells the time of a whole model only" in problem


@given(st.text(min_size=1, max_size=9), st.lists(st.integers(0, 10**6), max_size=5))
def test_every_shape_is_read_as_it_is_written(name: str, shape: list[int]) -> None:
    assert shape_of(f"{name}={'x'.join(map(str, shape))}") == (name, tuple(shape))


@pytest.mark.parametrize("text", ["", "x", "=1x2", "x=1x", "x=-1", "x=1,2", "x=²", "x=1x2 "])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(TargetError, match="write NAME=SIZES"):
        shape_of(text)


def measurement(times_ms: Sequence[float]) -> Measurement:
    bursts = tuple(Burst(round=number, times_ms=(ms,)) for number, ms in enumerate(times_ms))
    return Measurement(key="m", sha256="0", bursts=bursts, environment=Environment({}), steady_spread=0.03)


def test_a_ratio_is_of_bursts_in_the_same_round() -> None:
    found = ratio_of(measurement([2.0, 4.0, 40.0]), measurement([1.0, 2.0, 10.0]))
    assert (found.least, found.median, found.most) == (2.0, 2.0, 4.0)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=8), st.floats(0.1, 10))
def test_a_model_that_takes_so_many_times_as_long_has_that_ratio(times_ms: list[float], factor: float) -> None:
    found = ratio_of(measurement([factor * ms for ms in times_ms]), measurement(times_ms))
    assert [found.least, found.median, found.most] == pytest.approx([factor] * 3)
