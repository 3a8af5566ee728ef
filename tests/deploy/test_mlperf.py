from __future__ import annotations

import json

from deploy.bundle import Bundle
from deploy.manifest import Accuracy
from deploy.mlperf import NOTE, Performance, mlperf_form, mlperf_results
from profilers.target import Target

# The fields of a result in mlcommons/mobile_app_open, flutter/lib/data/results/*.dart.
RESULT = {
    "benchmark_id",
    "benchmark_name",
    "loadgen_scenario",
    "backend_settings",
    "backend_info",
    "performance_run",
    "accuracy_run",
    "min_duration",
    "min_samples",
}
SETTINGS = {
    "accelerator_code",
    "accelerator_desc",
    "framework",
    "delegate",
    "model_path",
    "batch_size",
    "extra_settings",
}
RUN = {
    "throughput",
    "accuracy",
    "accuracy2",
    "dataset",
    "measured_duration",
    "measured_samples",
    "start_datetime",
    "loadgen_info",
}
INFO = {"filename", "vendor_name", "backend_name", "accelerator_name"}


def performance(**changes: object) -> Performance:
    known = {
        "name": "net",
        "model_path": "net.tflite",
        "target": Target(device="adb:0A04", runtime="litert", threads=4),
        "runtime_version": "benchmark_model 1",
        "precision": "int8",
        "median_ms": 2.0,
        "p90_ms": 2.5,
        "samples": 1500,
        "duration_s": 61.0,
        "protocol": "standard: median of burst medians",
        "device": {"manufacturer": "Maker", "model": "Phone 9", "soc": "Chip", "android": "15"},
    }
    return Performance(**(known | changes))  # type: ignore[arg-type]


def test_every_field_of_the_app_s_results_stands_there() -> None:
    form = mlperf_form([performance(accuracy=Accuracy.of(correct=9, images=10))], version="1")
    [result] = form["results"]
    assert form.keys() >= {"meta", "results", "environment_info", "build_info"}
    assert result.keys() >= RESULT
    assert result["backend_settings"].keys() == SETTINGS
    assert result["backend_info"].keys() == INFO
    assert result["performance_run"].keys() >= RUN
    assert result["accuracy_run"].keys() == RUN


def test_latencies_are_nanoseconds_under_loadgen_s_names() -> None:
    [result] = mlperf_form([performance()], version="1")["results"]
    assert result["performance_run"]["loadgen_latencies"] == {
        "result_50.00_percentile_latency_ns": 2_000_000,
        "result_90.00_percentile_latency_ns": 2_500_000,
    }
    assert result["performance_run"]["throughput"] == {"value": 500.0}
    assert result["performance_run"]["measured_samples"] == 1500


def test_what_is_not_known_is_null_and_never_invented() -> None:
    [result] = mlperf_form([performance(median_ms=None, duration_s=None)], version="1")["results"]
    run = result["performance_run"]
    assert (run["throughput"], run["measured_duration"], run["loadgen_info"], run["start_datetime"]) == (None,) * 4
    assert run["loadgen_latencies"]["result_50.00_percentile_latency_ns"] is None
    assert (result["min_duration"], result["min_samples"]) == (None, None)
    assert (result["accuracy_run"], result["obtained"]["accuracy"]) == (None, "not evaluated")


def test_a_phone_is_told_as_the_app_tells_it_and_any_other_device_as_it_is() -> None:
    phone, server = performance(), performance(target=Target(runtime="litert"), device={"cpu": "Imaginary"})
    form = mlperf_form([phone, server], version="1")
    here, there = (result["environment_info"] for result in form["results"])
    assert (here["platform"], here["value"]["android"]["model_code"]) == ("android", "Phone 9")
    assert (there["platform"], there["value"]["other"]) == ("other", {"cpu": "Imaginary"})
    assert form["environment_info"] is None


def test_equal_measurements_give_equal_forms_and_others_do_not() -> None:
    assert mlperf_form([performance()], version="1") == mlperf_form([performance()], version="1")
    other = mlperf_form([performance(samples=7)], version="1")
    assert mlperf_form([performance()], version="1")["meta"]["uuid"] != other["meta"]["uuid"]


def test_it_says_that_it_is_a_form_and_no_submission() -> None:
    assert mlperf_form([], version="1")["millis"] == {"note": NOTE}
    assert "not a submission" in NOTE


def test_a_bundle_tells_each_measurement_of_each_model(server: Bundle) -> None:
    form = json.loads(json.dumps(mlperf_results(server.manifest)))
    measured = [(model, each) for model in server.manifest.models for each in model.measured]
    assert measured
    for result, (model, each) in zip(form["results"], measured, strict=True):
        assert result["backend_settings"]["model_path"] == model.path
        assert result["performance_run"]["loadgen_latencies"]["result_90.00_percentile_latency_ns"] == each.p90_ms * 1e6
        assert result["obtained"]["target"] == each.target
        assert model.accuracy is not None
        assert result["accuracy_run"]["accuracy"]["normalized"] == model.accuracy.top1
