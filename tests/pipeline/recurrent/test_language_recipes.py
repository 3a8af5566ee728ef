"""Recipes of language models, from a text to a report; one of them is run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pipeline.plan import load_recipe
from pipeline.recurrent.plan import is_language_recipe, load_language_recipe
from pipeline.recurrent.report import LanguageReport, read_report, render_html
from pipeline.recurrent.settings import OF_SEARCH, OF_TRAINING
from profilers.errors import FileError

if TYPE_CHECKING:
    from tests.pipeline.conftest import Millis

SHIPPED = Path(__file__).resolve().parents[3] / "pipeline" / "recipes" / "language.yaml"
# Far above what any step takes: whether a busy machine keeps to a tight budget is no matter of a test.
TARGET = {"target": "local:onnxruntime", "budget": "50ms"}
REGIME = {"batch_size": 8, "bptt": 10, "learning_rate": 5}
RECIPE: dict[str, Any] = {
    "schema": 2,
    "text": "cats.txt",
    "hidden": 8,
    "targets": [TARGET],
    "profile": {"protocol": "quick", "networks": 2},
    "search": {"epochs": 1, "regime": REGIME, "networks": 1},
    "train": {"epochs": 2, "regime": REGIME},
    "beside": ["lstm"],
    "baseline": True,
}


@pytest.fixture(scope="module")
def finished(run_recipe: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory, text_file: Path) -> Path:
    """A folder with a text, `tiny.yaml` and the finished `run` of it."""
    folder = tmp_path_factory.mktemp("language")
    (folder / "cats.txt").write_text(text_file.read_text())
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    run_recipe(folder)
    return folder


@pytest.fixture
def report(finished: Path) -> LanguageReport:
    return read_report(finished / "run")


def test_a_run_ends_with_a_report_of_what_was_found(report: LanguageReport) -> None:
    (target,) = report.targets
    assert target.fastest_ms <= target.predicted_ms <= target.slowest_ms
    assert 0 < target.measured_ms <= target.p90_ms and target.within_budget
    assert 0 < target.exported.measured_ms < 50 == target.budget_ms
    assert list(target.beside_ms) == ["lstm"] and len(target.calibration) == 2
    assert list(report.stages) == ["profile", "search", "derive", "baseline", "train", "export", "measure"]


def test_the_models_of_a_run_stand_beside_one_another(report: LanguageReport) -> None:
    searched, lstm = report.models
    assert (searched.cell, searched.genotype, lstm.cell) == ("searched", report.genotype, "lstm")
    assert searched.params == report.params and abs(lstm.params / searched.params - 1) < 0.05
    assert searched.steps == lstm.steps and searched.evaluations
    assert report.baseline is not None and report.baseline.found.genotype == report.genotype


def test_the_files_of_a_run_answer_as_the_model_does(finished: Path, report: LanguageReport) -> None:
    (file,) = report.files
    assert file.same_guess == 1 and file.max_abs_difference < 1e-4
    path = finished / "run" / file.path
    assert path.stat().st_size == file.size_bytes
    assert len(json.loads((path.parent / "vocabulary.json").read_text())) == report.vocabulary


def test_a_page_tells_what_was_found_and_needs_nothing_else(finished: Path, report: LanguageReport) -> None:
    page = (finished / "run" / "report.html").read_text()
    assert "lstm" in page and "best of 1 random" in page and "in budget" in page
    assert page.count("<svg") == 4 and "<script" not in page and "http" not in page.replace("http://www.w3.org", "")
    without = render_html(replace(report, targets=(), baseline=None))
    assert "Budgets and results" not in without and without.count("<svg") == 2


def test_a_finished_run_is_not_done_again(finished: Path, millis: Millis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    before = (finished / "run" / "report.html").read_bytes()
    ended = millis("run", "tiny.yaml", "-o", "run")
    assert ended.stderr.count("done before, skipped") == 8
    assert "step.onnx" in ended.stdout and "report.html" in ended.stdout
    assert millis("report", "run", "--json").json["genotype"] in ended.stdout
    assert millis("run", "tiny.yaml", "-o", "run", "--json").json == json.loads(Path("run", "report.json").read_text())
    assert (finished / "run" / "report.html").read_bytes() == before


def test_the_shipped_recipe_can_be_run_on_a_text_of_ones_own() -> None:
    plan = load_language_recipe(SHIPPED)
    assert is_language_recipe(SHIPPED) and plan.name == "language"
    assert [target.parsed.runtime for target in plan.targets] == ["onnxruntime", "litert"]
    with pytest.raises(FileError):
        load_recipe(SHIPPED)


@pytest.mark.parametrize(("level", "rate", "share"), [("char", 5.0, 0.15), ("word", 20.0, 0.5)])
def test_a_short_recipe_learns_as_suits_its_tokens_and_size(
    level: str, rate: float, share: float, tmp_path: Path
) -> None:
    (tmp_path / "short.yaml").write_text(
        f"schema: 2\ntext: book.txt\nlevel: {level}\nhidden: 150\nsearch: {{epochs: 7}}"
    )
    plan = load_language_recipe(tmp_path / "short.yaml")
    assert (plan.search.epochs, plan.search.regime.learning_rate, plan.train.regime.learning_rate) == (7, rate, 20)
    assert plan.search.regime.dropout == OF_SEARCH.scaled(share)
    assert plan.train.regime.dropout == OF_TRAINING.scaled(share)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"bundles": ["android"]}, "bundles: they hold image classifiers"),
        ({"hiden": 8}, "hiden: no such field"),
        ({"search": {"epoch": 3}}, "search.epoch: no such field"),
        ({"schema": 1}, "schema: this recipe of a language model is of version 1"),
        ({"targets": [TARGET | {"target": "local:litert?precision=int8"}]}, "made in fp32 alone"),
        ({"targets": [TARGET, TARGET]}, "is named twice"),
        ({"targets": [TARGET | {"target": "local:pytorch"}]}, "no step model for runtime 'pytorch'"),
        ({"beside": ["gru"]}, "beside: 'gru' is not a node"),
        ({"text": "dogs.txt"}, "dogs.txt: no such text file"),
    ],
)
def test_what_is_wrong_with_a_recipe_is_told_before_any_work(
    change: dict[str, Any], told: str, millis: Millis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(yaml.safe_dump(RECIPE | change))
    assert told in millis("run", "tiny.yaml", "-o", "run").problem
    assert not Path("run", "tables").exists()
