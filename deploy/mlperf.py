"""Results in the form of MLPerf Mobile's app, for tools that read it. It is a form, not a submission.

Field names are those of mlcommons/mobile_app_open (`flutter/lib/data`), percentiles those of LoadGen's log. No number
was obtained by LoadGen or by MLPerf's rules: what is not known is null, and `obtained` says how the rest came about.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from deploy.manifest import Accuracy, Manifest, Measured, Model
from profilers.protocol import protocol_described
from profilers.target import Target

NOTE = "the form of MLPerf Mobile's results; not a submission, not by LoadGen and not by MLPerf's rules"
_NS = 1e6  # in a millisecond


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """A model's latency on a device, and its accuracy where that is known."""

    name: str
    model_path: str
    target: Target
    runtime_version: str
    precision: str
    median_ms: float | None  # None where only what counts is known, and that is something else
    p90_ms: float
    samples: int
    duration_s: float | None
    protocol: str  # in words
    device: Mapping[str, str]
    accuracy: Accuracy | None = None
    data: str = ""


def mlperf_results(manifest: Manifest) -> dict[str, Any]:
    """The measurements of a bundle's models."""
    found = [_from_manifest(manifest, model, measured) for model in manifest.models for measured in model.measured]
    return mlperf_form(found, version=manifest.versions.get("millis", ""))


def mlperf_form(found: Iterable[Performance], *, version: str) -> dict[str, Any]:
    """Any measurements; equal ones give an equal form. Devices stand with each result, for they may differ."""
    results = [_result(each) for each in found]
    devices = [result["environment_info"] for result in results]
    return {
        "meta": {"uuid": str(uuid5(NAMESPACE_URL, repr(results))), "creation_date": None, "upload_date": None},
        "results": results,
        "environment_info": devices[0] if devices and all(each == devices[0] for each in devices) else None,
        "build_info": {
            "version": version,
            "backend_list": sorted({each["backend_info"]["backend_name"] for each in results}),
            "official_release_flag": False,
            "dev_test_flag": True,
        },
        "millis": {"note": NOTE},
    }


def _from_manifest(manifest: Manifest, model: Model, measured: Measured) -> Performance:
    protocol = protocol_described(measured.protocol)
    return Performance(
        name=manifest.name,
        model_path=model.path,
        target=Target.parse(measured.target),
        runtime_version=measured.runtime_version,
        precision=model.precision,
        median_ms=measured.measured_ms if protocol is not None and protocol.statistic == "median" else None,
        p90_ms=measured.p90_ms,
        samples=measured.samples,
        duration_s=None,
        protocol=measured.protocol,
        device=measured.device,
        accuracy=model.accuracy,
        data="" if manifest.data is None else manifest.data.name,
    )


def _result(found: Performance) -> dict[str, Any]:
    target = found.target
    return {
        "benchmark_id": f"millis:{found.name}",  # which is none of MLPerf's own tasks
        "benchmark_name": found.name,
        "loadgen_scenario": "SingleStream",
        "backend_settings": {
            "accelerator_code": target.accelerator,
            "accelerator_desc": f"{target.accelerator.upper()} ({found.precision})",
            "framework": target.runtime,
            "delegate": "",
            "model_path": found.model_path,
            "batch_size": target.batch,
            "extra_settings": [_setting("num_threads", target.threads), _setting("cores", target.cores)],
        },
        "backend_info": {
            "filename": target.runtime,
            "vendor_name": "",
            "backend_name": f"{target.runtime} {found.runtime_version}",
            "accelerator_name": target.accelerator,
        },
        "performance_run": _performance_run(found),
        "accuracy_run": _accuracy_run(found),
        "min_duration": None,  # MLPerf Mobile's 60 s and 1,024 samples were not asked for
        "min_samples": None,
        "environment_info": _environment(found),
        "obtained": _obtained(found),
    }


def _performance_run(found: Performance) -> dict[str, Any]:
    latencies = {"50.00": found.median_ms, "90.00": found.p90_ms}
    return {
        "throughput": None if found.median_ms is None else {"value": 1000 / found.median_ms},
        "accuracy": None,
        "accuracy2": None,
        "dataset": _dataset("random values"),
        "measured_duration": found.duration_s,
        "measured_samples": found.samples,
        "start_datetime": None,
        "loadgen_info": None,
        "loadgen_latencies": {
            f"result_{name}_percentile_latency_ns": None if ms is None else round(ms * _NS)
            for name, ms in latencies.items()
        },
    }


def _accuracy_run(found: Performance) -> dict[str, Any] | None:
    accuracy = found.accuracy
    if accuracy is None:
        return None
    return {
        "throughput": None,
        "accuracy": {"normalized": accuracy.top1, "formatted": f"{accuracy.top1:.2%}"},
        "accuracy2": None,
        "dataset": _dataset(found.data),
        "measured_duration": None,
        "measured_samples": accuracy.images,
        "start_datetime": None,
        "loadgen_info": None,
    }


def _dataset(name: str) -> dict[str, Any]:
    return {"name": name, "type": None, "data_path": "", "groundtruth_path": ""}


def _setting(name: str, value: object) -> dict[str, str]:
    return {"id": name, "name": name, "value": str(value), "value_name": str(value)}


def _environment(found: Performance) -> dict[str, Any]:
    """MLPerf's record of a phone where it is one; of any other device all facts, under a name of their own."""
    device = dict(found.device)
    if found.target.kind != "adb":
        return {"platform": "other", "value": {"android": None, "ios": None, "windows": None, "other": device}}
    android: dict[str, Any] = {
        "os_version": device.get("android", ""),
        "manufacturer": device.get("manufacturer"),
        "model_code": device.get("model"),
        "model_name": device.get("model"),
        "board_code": device.get("board"),
        "proc_cpuinfo_soc_name": device.get("soc", ""),
        "props": [],
    }
    return {"platform": "android", "value": {"android": android, "ios": None, "windows": None, "other": device}}


def _obtained(found: Performance) -> dict[str, str]:
    accuracy = "right classes of the very file on the test images; 95 % Wilson interval"
    known = found.accuracy
    return {
        "target": str(found.target),
        "result_50.00_percentile_latency_ns": found.protocol
        if found.median_ms is not None
        else "not known: the 90th percentile counts under the protocol",
        "result_90.00_percentile_latency_ns": "90th percentile of all runs of the same measurement",
        "throughput": "1000 / median ms: one inference after another",
        "accuracy": "not evaluated" if known is None else f"{accuracy} {known.low_95:.4f} to {known.high_95:.4f}",
    }
