"""Bundles, measured by `millis benchmark` beside what their manifests promise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from deploy.bundle import Bundle
from deploy.errors import BundleError
from deploy.manifest import MANIFEST
from deploy.promise import nearest
from pipeline.benchmarking import Benchmark, benchmark, document, mlperf_document
from pipeline.subjects import Question, Subject, find_subjects
from profilers.errors import FileError
from profilers.protocol import Protocol
from profilers.target import Target

BRIEF = Protocol(name="brief", rounds=3, max_rounds=3, warmup_runs=1, warmup_ms=0, runs=3, burst_ms=0)
RUNTIMES = {"server": "onnxruntime", "android": "litert"}


@dataclass(frozen=True)
class Nobody:
    """Watches nothing."""

    def progress(self, part: str, done: int, planned: int) -> None: ...

    def note(self, text: str) -> None: ...


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=sorted(RUNTIMES))
def packed(request: pytest.FixtureRequest) -> Bundle:
    made: Bundle = request.getfixturevalue(request.param)
    return made


def question(target: Target, scratch: Path) -> Question:
    (scratch / "scratch").mkdir(exist_ok=True)
    return Question(target=target, scratch=scratch / "scratch", watch=Nobody())


def subjects(bundle: Path, target: Target, tmp_path: Path) -> list[Subject]:
    return find_subjects([bundle], question(target, tmp_path))


def runtime_of(bundle: Bundle) -> str:
    return bundle.manifest.model.runtime


def measured(bundle: Bundle, source: Path, tmp_path: Path) -> Benchmark:
    target = Target(runtime=runtime_of(bundle))
    found = subjects(source, target, tmp_path)
    return benchmark(found, target, BRIEF, tmp_path / "raw.jsonl", watch=Nobody())


@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_every_model_of_the_runtime_is_measured_beside_its_promise(packed: Bundle, kind: str, tmp_path: Path) -> None:
    found = document(measured(packed, getattr(packed, kind), tmp_path))
    models = [each for each in packed.manifest.models if each.runtime == runtime_of(packed)]
    assert [each["precision"] for each in found["models"]] == [each.precision for each in models]
    for told, model in zip(found["models"], models, strict=True):
        assert told["promised"]["ms"] == model.measured[0].measured_ms
        low_ms, high_ms = told["promised"]["interval_ms"]
        assert low_ms < told["promised"]["ms"] < high_ms
        assert told["difference"] == pytest.approx(told["measured_ms"] / told["promised"]["ms"] - 1)


def test_a_promise_for_another_device_is_shown_and_not_judged(packed: Bundle, tmp_path: Path) -> None:
    found = document(measured(packed, packed.folder, tmp_path))
    assert all(each["kept"] is None for each in found["models"])
    assert all(each["differs"] for each in found["models"])
    assert any("Imaginary 3000" in note for note in found["notes"])
    assert any("promised by the manifest, measured on local:" in note for note in found["notes"])


def test_a_promise_for_this_very_target_comes_before_others(server: Bundle) -> None:
    [known] = server.manifest.model.measured
    elsewhere = replace(known, target="ssh:pi@board:onnxruntime", measured_ms=9.0)
    here = Target(runtime="onnxruntime", threads=2)
    for target, ms in ((here, known.measured_ms), (replace(here, device="ssh:pi@board", threads=1), 9.0)):
        found = nearest((elsewhere, known), target)
        assert found is not None
        assert found.measured_ms == ms


def test_an_accelerator_is_asked_for_its_own_precision_only(android: Bundle, tmp_path: Path) -> None:
    gpu = Target(runtime="litert", accelerator="gpu")
    assert [each.precision for each in subjects(android.folder, gpu, tmp_path)] == ["fp32"]
    with pytest.raises(FileError, match="has no model for local:litert"):
        subjects(android.folder, replace(gpu, precision="int8"), tmp_path)


def test_a_bundle_without_a_model_for_the_target_says_so(server: Bundle, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="has no model for local:litert"):
        subjects(server.folder, Target(runtime="litert"), tmp_path)


def test_a_bundle_that_is_not_whole_is_not_measured(server: Bundle, tmp_path: Path) -> None:
    model = server.folder / server.manifest.model.path
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    with pytest.raises(BundleError, match=server.manifest.model.path):
        subjects(server.folder, Target(runtime="onnxruntime"), tmp_path)


def test_a_folder_without_a_manifest_is_no_bundle(server: Bundle, tmp_path: Path) -> None:
    (server.folder / MANIFEST).unlink()
    with pytest.raises(FileError, match=r"not a model, the folder or \.zip of a bundle, or the folder of a run"):
        subjects(server.folder, Target(runtime="onnxruntime"), tmp_path)


def test_the_mlperf_form_tells_the_accuracy_of_each_model(server: Bundle, tmp_path: Path) -> None:
    form = mlperf_document(measured(server, server.folder, tmp_path))
    accuracies = [each["accuracy_run"]["accuracy"]["normalized"] for each in form["results"]]
    known = [each.accuracy for each in server.manifest.models if each.runtime == "onnxruntime"]
    assert accuracies == [each.top1 for each in known if each is not None]
    assert all(each["performance_run"]["measured_duration"] > 0 for each in form["results"])
