from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from latency_tables.table_file import save_table
from pipeline.recurrent.plan import LanguagePlan, load_language_plan
from pipeline.recurrent.segments import segments
from pipeline.recurrent.settings import CellSearchSettings, CellTrainSettings
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Millis

SMALL = ("--hidden", "8", "--batch", "8", "--bptt", "10", "--epochs", "1", "--train-learning-rate", "5")


@pytest.fixture
def run(millis: Millis, text_file: Path, tmp_path: Path) -> Path:
    """A search that is over, without a budget."""
    folder = tmp_path / "run"
    assert millis("language", "search", text_file, "-o", folder, *SMALL).exit_code == 0
    return folder


@pytest.fixture
def cells8(millis: Millis, text_file: Path) -> SearchSpace:
    told = millis("language", "text", text_file, "--hidden", "8", "--json").json
    return parse_space(told["space"])


def test_a_text_tells_the_space_of_its_cells(millis: Millis, text_file: Path) -> None:
    told = millis("language", "text", text_file, "--hidden", "8", "--json").json
    assert told["train"] == 1036
    assert told["space"] == f"darts-rnn?hidden=8&vocab={told['vocabulary']}"


def test_a_cell_is_searched_trained_compared_sampled_and_exported(millis: Millis, run: Path) -> None:
    trained = millis("language", "train", run, "--steps", "20", "--json").json
    assert trained["steps"] == 20 and trained["test_bits"] > 0
    compared = millis("language", "compare", run, "--minutes", "0.002", "--json").json["models"]
    assert [each["cell"] for each in compared] == ["searched", "lstm"]
    assert compared[0]["steps"] >= 20
    assert abs(compared[1]["params"] / compared[0]["params"] - 1) < 0.05
    written = millis("language", "sample", run, "--prompt", "the ", "--length", "9", "--json").json["text"]
    assert written.startswith("the ") and len(written) == 13
    files = millis("language", "export", run, "--to", "onnxruntime", "--json").json["files"]
    assert Path(files[0]["path"]).is_file() and files[0]["same_guess"] == 1.0
    vocabulary = json.loads(Path(files[0]["path"]).with_name("vocabulary.json").read_text())
    assert vocabulary[0] == "<unk>" and " " in vocabulary
    asked = ("--cell", "searched", "--target", "local:litert", "--protocol", "quick")
    (step,) = millis("language", "measure", run, *asked, "--json").json["steps"]
    assert step["cell"] == "searched" and step["measured_ms"] > 0


@pytest.mark.parametrize(("level", "rate", "state"), [("char", 5.0, 0.25 * 0.15), ("word", 20.0, 0.25 * 8 / 300)])
def test_words_are_searched_at_the_rate_of_the_paper_and_small_cells_drop_less(
    level: str, rate: float, state: float, millis: Millis, text_file: Path, tmp_path: Path
) -> None:
    assert millis("language", "search", text_file, "-o", tmp_path, *SMALL, "--level", level).exit_code == 0
    plan = load_language_plan(tmp_path)
    assert plan.search.regime.learning_rate == rate
    assert plan.search.regime.dropout.state == plan.train.regime.dropout.state == pytest.approx(state)


def test_the_same_search_again_is_over_at_once(millis: Millis, run: Path, text_file: Path) -> None:
    before = (run / "search" / "result.json").read_bytes()
    segments.cache_clear()
    assert millis("language", "search", text_file, "-o", run, *SMALL).exit_code == 0
    assert (run / "search" / "result.json").read_bytes() == before
    assert segments.cache_info().misses == 0


def test_of_several_seeds_the_best_is_kept_and_random_cells_at_equal_cost_stand_beside(
    millis: Millis, text_file: Path, tmp_path: Path
) -> None:
    asked = ("--seeds", "2", "--judge-epochs", "1", "--baseline", "--networks", "2")
    words = ("language", "search", text_file, "-o", tmp_path, *SMALL, *asked)
    found = millis(*words, "--json").json
    best = min(found["seeds"].values(), key=lambda cell: cell["validation_loss"])
    assert len(found["seeds"]) == 2 and found["genotype"] == best["genotype"]
    beside, random = found["baseline"]["found"], found["baseline"]["best of 4 random"]
    assert beside["genotype"] == found["genotype"] and beside["steps"] == random["steps"] > best["steps"]
    told = millis(*words)
    assert told.stderr.count("done before, skipped") == 2
    assert "best of 4 random" in told.stdout and random["genotype"] in told.stdout


def test_a_baseline_is_of_the_cell_that_is_derived(
    millis: Millis, text_file: Path, cells8: SearchSpace, make_table: MakeTable, tmp_path: Path
) -> None:
    table = tmp_path / "table.yaml"
    save_table(make_table(cells8, lambda op: 0.01 * len(op.label)), table)
    asked = ("--table", table, "--budget", "50%", "--baseline", "--networks", "1")
    found = millis("language", "search", text_file, "-o", tmp_path / "run", *SMALL, *asked, "--json").json
    (budget_ms,) = found["budget_ms"].values()
    assert all(ms <= budget_ms for cell in found["baseline"].values() for ms in cell["predicted_ms"].values())
    assert "baseline" not in millis("language", "derive", tmp_path / "run", "--budget", "0%", "--json").json


def test_a_cell_keeps_its_budget_and_derives_another(
    millis: Millis, text_file: Path, cells8: SearchSpace, make_table: MakeTable, tmp_path: Path
) -> None:
    table, folder = tmp_path / "table.yaml", tmp_path / "run"
    save_table(make_table(cells8, lambda op: 0.01 * len(op.label)), table)
    asked = ("--table", table, "--budget", "50%")
    found = millis("language", "search", text_file, "-o", folder, *SMALL, *asked, "--json").json
    assert found["predicted_ms"]["local:onnxruntime"] <= found["budget_ms"]["local:onnxruntime"]
    tight = millis("language", "derive", folder, "--budget", "0%", "--json").json
    assert {node.partition("<")[0] for node in tight["genotype"].split()} <= {"relu", "tanh"}
    assert tight["predicted_ms"]["local:onnxruntime"] <= tight["budget_ms"]["local:onnxruntime"] * (1 + 1e-9)


def test_a_budget_out_of_reach_is_told_before_anything_is_searched(
    millis: Millis, text_file: Path, cells8: SearchSpace, make_table: MakeTable, tmp_path: Path
) -> None:
    table = tmp_path / "table.yaml"
    save_table(make_table(cells8), table)
    asked = ("--table", table, "--budget", "0.001ms")
    ended = millis("language", "search", text_file, "-o", tmp_path / "run", *SMALL, *asked)
    assert ended.exit_code == 3
    assert "fastest reachable" in ended.problem
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "exit_code", "problem"),
    [
        (("train", "RUN"), 2, "--steps, --minutes"),
        (("train", "RUN", "--cell", "gru", "--steps", "1"), 1, "'gru' is not a node"),
        (("sample", "RUN"), 1, "train them first"),
        (("export", "RUN", "--to", "coreml"), 1, "no step model for runtime 'coreml'"),
        (("derive", "RUN", "--budget", "5ms"), 2, "1 budgets for 0 tables"),
        (("train", "nowhere", "--steps", "1"), 1, "no such plan of a language run"),
    ],
)
def test_what_goes_wrong_is_one_line(
    words: tuple[str, ...],
    exit_code: int,
    problem: str,
    millis: Millis,
    text_file: Path,
    search_settings: CellSearchSettings,
    train_settings: CellTrainSettings,
    tmp_path: Path,
) -> None:
    plan = LanguagePlan(text=str(text_file), level="char", hidden=8, search=search_settings, train=train_settings)
    plan.save(tmp_path)
    ended = millis("language", *(str(tmp_path) if word == "RUN" else word for word in words))
    assert ended.exit_code == exit_code
    assert problem in (ended.stderr if exit_code == 2 else ended.problem)
