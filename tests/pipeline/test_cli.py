from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from latency_tables.table_file import load_table, save_table
from pipeline.budget import Reach
from pipeline.published import PUBLISHED, load_network
from pipeline.space import SearchSpace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pipeline.conftest import MakeTable, Millis

    Search = Callable[..., list[str | Path]]

TINY_OP = "classifier in=1x1x8 out=2"
COMMANDS = (
    "doctor",
    "devices",
    "setup",
    "spaces",
    "count",
    "profile",
    "table",
    "search",
    "language",
    "derive",
    "train",
    "export",
    "benchmark",
    "verify",
    "report",
    "run",
)


@pytest.fixture
def tables(space: SearchSpace, make_table: MakeTable, tmp_path: Path) -> tuple[Path, Path]:
    """Two tables of the minuscule space, of invented numbers, one for each runtime."""
    paths = tmp_path / "onnxruntime.yaml", tmp_path / "litert.yaml"
    save_table(make_table(space), paths[0])
    save_table(make_table(space, lambda op: 0.02 + op.params / 1e5, target="local:litert"), paths[1])
    return paths


@pytest.fixture
def search(space: SearchSpace, tables: tuple[Path, Path]) -> Search:
    """The words of a search of seconds on both tables."""

    def words(run: Path, *budgets: str) -> list[str | Path]:
        asked: list[str | Path] = []
        for table in tables:
            asked += ["--table", table]
        for budget in budgets or ("60%",):
            asked += ["--budget", budget]
        short = ["--epochs", "3", "--warmup-epochs", "1"]
        return ["search", "--space", space.name, "--data", "digits", "-o", run, *asked, *short]

    return words


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_help_lists_every_command(millis: Millis) -> None:
    ended = millis("--help")
    assert ended.exit_code == 0
    assert all(command in ended.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, millis: Millis) -> None:
    ended = millis(command, "--help")
    assert ended.exit_code == 0 and "Usage: " in ended.stdout


def test_export_says_that_earlier_bundles_go(millis: Millis) -> None:
    told = " ".join(millis("export", "--help").stdout.replace("│", " ").split())
    assert "earlier ones that are not named are deleted" in told


@pytest.mark.parametrize(
    "words",
    [
        ["--nonsense"],
        ["nonsense"],
        ["spaces", "--nonsense"],
        ["profile", "--target", "local:onnxruntime"],
        ["profile", "--target", "local:onnxruntime", "--op", "blur in=8x8x8"],
        ["profile", "--target", "a:onnxruntime", "--target", "b:litert", "--op", TINY_OP, "-o", "t.yaml"],
        ["run"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_exit_code_two(words: list[str], millis: Millis) -> None:
    ended = millis(*words)
    assert ended.exit_code == 2
    assert ended.stdout == "" and "Traceback" not in ended.stderr


def test_spaces_are_listed_in_one_json_document(millis: Millis) -> None:
    found = millis("spaces", "--json").json
    assert "proxyless-mobile" in found["spaces"]
    assert set(found["strategies"]) >= {"proxyless", "darts", "fbnet", "snas", "random"}


def test_spaces_are_listed_for_people(millis: Millis) -> None:
    ended = millis("spaces")
    assert ended.exit_code == 0 and "mbconv-8" in ended.stdout


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [("proxylessnas-mobile", 4_080_512, 320_427_584), ("proxylessnas-cpu", 4_361_648, 439_243_864)],
)
def test_published_networks_are_counted_exactly(name: str, params: int, macs: int, millis: Millis) -> None:
    (found,) = millis("count", name, "--json").json["networks"]
    assert (found["network"], found["params"], found["macs"]) == (name, params, macs)
    assert found["published"]["params"]["agrees"] and found["published"]["macs"]["agrees"]
    assert f"{params:,}, published" in millis("count", name).stdout


def test_all_published_networks_are_counted_where_none_is_named(millis: Millis) -> None:
    ended = millis("count")
    assert "proxylessnas-mobile" in ended.stdout and "fbnet-b, 291.1M" in ended.stdout
    assert len(millis("count", "--json").json["networks"]) == len(PUBLISHED)


def test_an_architecture_file_is_counted_beside_a_published_network(millis: Millis, tmp_path: Path) -> None:
    load_network("fbnet-b").save(tmp_path / "mine.json")
    mine, fbnet = millis("count", tmp_path / "mine.json", "fbnet-b", "--json").json["networks"]
    assert (mine["params"], mine["stages"]) == (fbnet["params"], fbnet["stages"])
    assert mine["published"] == {"params": None, "macs": None}
    assert "known mismatch: the authors add the sums of the last pool" in millis("count", "fbnet-b").stdout


def test_an_unknown_network_is_told_with_those_there_are(millis: Millis) -> None:
    ended = millis("count", "proxylesnas")
    assert ended.exit_code == 1
    assert "no network 'proxylesnas'" in ended.problem and "proxylessnas-mobile" in ended.problem


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["table", "show", "none.yaml"], "none.yaml: no such latency table"),
        (["run", "none.yaml"], "none.yaml: no such recipe"),
        (["train", "none"], "plan.json: no such plan of a run"),
        (["report", "none"], "plan.json: no such plan of a run"),
        (["derive", "none", "--budget", "3ms"], "plan.json: no such plan of a run"),
        (["profile", "--op", TINY_OP, "--target", "local:tensorrt"], "'tensorrt' is not available"),
        (["profile", "--op", TINY_OP, "--target", "moon:litert"], "moon"),
        (["profile", "--op", TINY_OP, "--target", "local:litert", "--protocol", "slow"], "no protocol 'slow'"),
        (["profile", "--space", "mbconv-9", "--target", "local:litert"], "no search space 'mbconv-9'"),
        (["verify", "none"], "none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_there_is_one_line(
    words: list[str], told: str, millis: Millis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = millis(*words)
    assert ended.exit_code == 1
    assert told in ended.problem
    assert len(ended.stderr.splitlines()) == 1 and ended.stdout == ""


@pytest.mark.parametrize(
    ("change", "told"),
    [({"serach": {}}, "serach: no such field"), ({"train": {"epoch": 1}}, "train.epoch: no such field")],
)
def test_a_misspelt_key_of_a_recipe_is_one_line(
    change: dict[str, Any], told: str, millis: Millis, tmp_path: Path
) -> None:
    recipe = {"schema": 2, "space": "mbconv-8", "data": "digits"}
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe | {"targets": [{"target": "local:litert", "budget": "1ms"}]} | change))
    ended = millis("run", path, "-o", tmp_path / "run")
    assert ended.exit_code == 1
    assert ended.problem == f"{path}: {told}" and len(ended.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_operations_are_measured_and_added_to_their_table(millis: Millis, tmp_path: Path) -> None:
    ops = ["classifier in=1x1x8 out=2", "classifier in=1x1x8 out=3"]
    words = ("--target", "local:onnxruntime", "--protocol", "quick", "--json")
    (both,) = millis("profile", "--op", ops[0], "--op", ops[1], *words, "-o", tmp_path / "both.yaml").json["tables"]
    assert (both["target"], both["operations"]) == ("local:onnxruntime", 2)
    path = tmp_path / "table.yaml"
    for count, op in enumerate([*ops, ops[0]], 1):  # the last one adds nothing
        (table,) = millis("profile", "--op", op, *words, "-o", path).json["tables"]
        assert table["operations"] == min(count, 2)
    entries = millis("table", "show", path, "--json").json["entries"]
    assert list(entries) == ops
    assert all(entry["median_ms"] > 0 and entry["samples"] > 1 for entry in entries.values())


def test_a_table_does_not_differ_from_itself(tables: tuple[Path, Path], millis: Millis) -> None:
    found = millis("table", "diff", tables[0], tables[0], "--json").json
    assert found["within_3pct"] == 1
    assert {operation["ratio"] for operation in found["operations"]} == {1}
    assert "median ratio 1.000" in millis("table", "diff", tables[0], tables[0]).stdout


def test_a_table_is_shown_with_how_it_was_obtained(tables: tuple[Path, Path], millis: Millis) -> None:
    ended = millis("table", "show", tables[0])
    assert "Imaginary 3000" in ended.stdout and "quick: median of burst medians, 3 to 9 bursts" in ended.stdout
    assert "conv in=8x8x1 out=8 kernel=3 stride=1 act=relu6" in ended.stdout


def test_a_search_derives_a_network_within_both_budgets(search: Search, millis: Millis, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended = millis(*search(run, "60%", "0.5ms"), "--json")
    assert ended.exit_code == 0
    found = ended.json
    assert found["budget_ms"]["local:litert"] == 0.5
    assert all(found["predicted_ms"][target] <= found["budget_ms"][target] for target in found["budget_ms"])
    assert json.loads((run / "architecture.json").read_text())["choices"] == found["choices"]
    assert [line["epoch"] for line in lines_of(run / "metrics.jsonl")[1:]] == [1, 2, 3]
    again = millis(*search(run, "60%", "0.5ms"), "--json")
    assert again.json == found and "search: done before, skipped" in again.stderr


def test_random_search_derives_the_best_network_it_tried(search: Search, millis: Millis, tmp_path: Path) -> None:
    run = tmp_path / "run"
    found = millis(*search(run, "90%"), "--strategy", "random", "--json").json
    assert all(found["predicted_ms"][target] <= found["budget_ms"][target] for target in found["budget_ms"])
    tried = json.loads((run / "search" / "result.json").read_text())["tried"]
    assert found["choices"] == max(tried, key=lambda network: network["accuracy"])["choices"]


def test_another_budget_is_derived_and_trained_from_a_finished_search(
    search: Search,
    space: SearchSpace,
    tables: tuple[Path, Path],
    millis: Millis,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    assert millis(*search(run)).exit_code == 0
    fastest_ms = Reach.of(space, load_table(tables[1])).fastest_ms
    found = millis("derive", run, "--budget", "100%", "--budget", "0%", "--json").json
    assert found["predicted_ms"]["local:litert"] == pytest.approx(fastest_ms)
    one = millis("derive", run, "--table", tables[1], "--budget", "0%", "--json").json
    assert one["predicted_ms"] == {"local:litert": pytest.approx(fastest_ms)}
    plan = json.loads((run / "plan.json").read_text())
    (run / "plan.json").write_text(json.dumps(plan | {"train": plan["train"] | {"epochs": 1}}))
    trained = millis("train", run, "--json").json
    assert trained["test_images"] == 359 and 0 <= trained["accuracy"] <= 1
    assert Path(trained["weights"]).exists()


def test_a_budget_that_nothing_meets_ends_before_any_training(
    search: Search,
    space: SearchSpace,
    tables: tuple[Path, Path],
    millis: Millis,
    tmp_path: Path,
) -> None:
    run = tmp_path / "run"
    ended = millis(*search(run, "0.001ms"))
    assert ended.exit_code == 3
    for path in tables:
        assert f"fastest reachable is {Reach.of(space, load_table(path)).fastest_ms:.4g} ms" in ended.problem
    assert not (run / "metrics.jsonl").exists() and not (run / "search").exists()


def test_a_missing_entry_stops_the_search_with_the_command_that_mends_it(
    search: Search, tables: tuple[Path, Path], millis: Millis, tmp_path: Path
) -> None:
    table = load_table(tables[0])
    lacking = next(op for op in table.entries if op.kind == "mbconv")
    save_table(replace(table, entries={op: entry for op, entry in table.entries.items() if op != lacking}), tables[0])
    ended = millis(*search(tmp_path / "run"))
    assert ended.exit_code == 1
    message, _, command = ended.problem.partition("; measure it with: ")
    assert f"operation '{lacking}' was not measured on local:onnxruntime" in message
    assert shlex.split(command)[:4] == ["millis", "profile", "--op", str(lacking)]
    assert shlex.split(command)[-4:] == ["-o", str(tables[0]), "--protocol", "quick"]
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("budgets", [("60%", "60%", "60%"), ("fast",), ("0ms",)])
def test_budgets_that_make_no_sense_are_wrong_usage(
    budgets: tuple[str, ...], search: Search, millis: Millis, tmp_path: Path
) -> None:
    ended = millis(*search(tmp_path / "run", *budgets))
    assert ended.exit_code == 2 and "Traceback" not in ended.stderr
    assert not (tmp_path / "run").exists()


KILLED = """
import os, signal
from pipeline.cli import main
from pipeline.search_loop import SearchLoop

advance = SearchLoop.advance

def killed_in_the_middle_of_the_second_epoch(loop, *batches):
    if loop.step == 24:
        os.kill(os.getpid(), signal.SIGKILL)
    advance(loop, *batches)

SearchLoop.advance = killed_in_the_middle_of_the_second_epoch
main()
"""


def test_a_search_that_is_killed_gives_what_it_would_have_given(search: Search, millis: Millis, tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    words = [str(word) for word in search(killed)]
    ended = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, env=dict(os.environ))
    assert ended.returncode == -signal.SIGKILL
    assert [line.get("epoch") for line in lines_of(killed / "metrics.jsonl")] == [None, 1]
    for run in (killed, whole):
        assert millis(*search(run)).exit_code == 0
    for name in ("search/result.json", "architecture.json"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()
    assert [line.get("epoch") for line in lines_of(killed / "metrics.jsonl")] == [None, 1, 2, 3]


def test_of_several_seeds_the_best_on_the_architecture_split_is_kept(
    search: Search, millis: Millis, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    found = millis(*search(run), "--seeds", "2", "--seed", "3", "--set", "judge_epochs=1", "--json").json
    assert set(found["seeds"]) == {"3", "4"}
    result = json.loads((run / "search" / "result.json").read_text())
    assert found["seeds"][str(result["seed"])] == max(found["seeds"].values())
    own = json.loads((run / "search" / f"seed{result['seed']}" / "result.json").read_text())
    assert own["log_probability"] == result["log_probability"]
    assert {path.name for path in (run / "tensorboard" / "search").iterdir()} == {"seed3", "seed4"}
    assert millis(*search(run), "--seeds", "2", "--seed", "3", "--set", "judge_epochs=1").stdout.count("%") >= 2


def test_the_best_of_random_networks_is_shown_beside_the_result(search: Search, millis: Millis, tmp_path: Path) -> None:
    words = [*search(tmp_path / "run", "100%"), "--baseline", "--set", "networks=2"]
    beside = millis(*words, "--json").json["baseline"]
    assert (beside["networks"], beside["epochs"]) == (2, 2)  # a search of 3 + 2 / 2 passes
    for network in (beside["found"], beside["random"]):
        assert 0 <= network["accuracy"] <= 1 and set(network["predicted_ms"]) == {"local:onnxruntime", "local:litert"}
    ended = millis(*words)
    assert "best of 2 random" in ended.stdout and "baseline: done before, skipped" in ended.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--set", "alpha_learning_rat=1"], "no setting 'alpha_learning_rat'"),
        (["--set", "epochs=5"], "setting epochs is given twice"),
        (["--set", "inner_steps"], "write NAME=VALUE"),
        (["--set", "inner_steps=often"], "inner_steps: "),
        (["--set", "latency_loss=mul"], "latency_loss: "),
        (["--strategy", "dart"], "no 'dart'; there are: proxyless, darts"),
        (["--strategy", "random", "--baseline"], "baseline: "),
        (["--seeds", "0"], "seeds=0 must be a number above 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_slip_in_a_setting_is_wrong_usage_naming_it(
    words: list[str], told: str, search: Search, millis: Millis, tmp_path: Path
) -> None:
    ended = millis(*search(tmp_path / "run"), *words)
    assert ended.exit_code == 2
    assert told in " ".join(ended.stderr.replace("│", " ").split())


def test_an_interrupt_says_that_what_was_finished_is_kept(tmp_path: Path) -> None:
    table = str(tmp_path / "t.yaml")
    words = ["profile", "--op", TINY_OP, "--target", "local:onnxruntime", "--protocol", "final", "-o", table]
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", *words]
    empty_cache = os.environ | {"MILLIS_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=empty_cache) as profiling:
        assert profiling.stderr is not None
        assert profiling.stderr.readline() == "compile: 1 of 1\n"  # minutes of measuring follow
        profiling.send_signal(signal.SIGINT)
        assert profiling.stderr.read().startswith("millis: stopped; what was finished is kept")
    assert profiling.returncode == 130
