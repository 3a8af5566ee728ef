from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from deploy.comparison import SAME
from latency_tables.errors import MissingOpError
from latency_tables.table_file import load_table, save_table
from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Reach
from pipeline.data import DataError
from pipeline.plan import Plan, TargetPlan
from pipeline.run import Run
from pipeline.space import SearchSpace, SpaceError
from pipeline.stage import run_stage
from pipeline.stages.search import SEARCH
from pipeline.stages.tables import TABLES
from profilers.errors import FileError

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable, Millis, Notes

Brought = Callable[..., Run]


@pytest.fixture
def brought(space: SearchSpace, make_table: MakeTable, tmp_path: Path, notes: Notes) -> Brought:
    """A run that brings tables of invented numbers for both runtimes."""

    def run(*budgets: str, data: str = "digits") -> Run:
        targets = []
        for target, budget in zip(("local:onnxruntime", "local:litert"), budgets, strict=False):
            path = tmp_path / f"{target.partition(':')[2]}.yaml"
            save_table(make_table(space, target=target), path)
            targets.append(TargetPlan(target=target, budget=budget, table=str(path)))
        plan = Plan(name="test", space=space.name, data=data, targets=tuple(targets))
        return Run(folder=tmp_path / "run", plan=plan, watch=notes)

    return run


def test_relative_budgets_are_goals_between_the_fastest_and_the_slowest_network(brought: Brought) -> None:
    run = brought("40%", "0.5ms")
    relative, absolute = run.goals
    reach = Reach.of(run.space, relative.table)
    assert relative.budget_ms == pytest.approx(reach.fastest_ms + 0.4 * (reach.slowest_ms - reach.fastest_ms))
    assert absolute.budget_ms == 0.5
    assert [str(goal.target) for goal in run.goals] == ["local:onnxruntime", "local:litert"]


def test_a_table_of_another_target_is_refused(brought: Brought) -> None:
    run = brought("40%")
    (target,) = run.plan.targets
    run = replace(run, plan=replace(run.plan, targets=(replace(target, target="local:onnxruntime?threads=2"),)))
    with pytest.raises(FileError, match=r"a table of local:onnxruntime, but the plan names it for .*threads=2"):
        _ = run.goals


def test_a_table_that_is_brought_is_left_where_it_is(brought: Brought) -> None:
    run = brought("40%", "40%")
    before = [run.table_path(target).read_bytes() for target in run.plan.targets]
    for plan in (run.plan, replace(run.plan, space="mbconv-8"), run.plan):
        run_stage(TABLES, replace(run, plan=plan))
    assert [run.table_path(target).read_bytes() for target in run.plan.targets] == before


def test_a_table_among_those_of_the_run_itself_is_not_brought(brought: Brought) -> None:
    run = brought("40%")
    own = run.folder / "tables" / "mine.yaml"
    own.parent.mkdir(parents=True)
    shutil.copyfile(run.table_path(run.plan.targets[0]), own)
    target = replace(run.plan.targets[0], table=str(own))
    with pytest.raises(FileError, match="copy it elsewhere"):
        run_stage(TABLES, replace(run, plan=replace(run.plan, targets=(target,))))
    assert own.exists()


def test_a_table_that_is_not_there_is_told(brought: Brought) -> None:
    run = brought("40%")
    run.table_path(run.plan.targets[0]).unlink()
    with pytest.raises(FileError, match=r"onnxruntime\.yaml: no such latency table"):
        run_stage(TABLES, run)


def test_a_table_that_does_not_cover_the_space_names_what_it_lacks(brought: Brought) -> None:
    run = brought("40%")
    with pytest.raises(MissingOpError, match=r"was not measured on local:onnxruntime; measure it with: millis profile"):
        _ = replace(run, plan=replace(run.plan, space="mbconv-8")).goals


def test_data_that_does_not_fit_the_space_says_which_space_would(brought: Brought) -> None:
    run = brought("40%")
    with pytest.raises(SpaceError, match=r"write mbconv-32\?channels=1&classes=10"):
        _ = replace(run, plan=replace(run.plan, space="mbconv-32")).data


def test_data_that_is_not_there_ends_a_run_before_anything_is_measured(brought: Brought) -> None:
    run = brought("40%", data="didgits")
    own = tuple(replace(target, table=None) for target in run.plan.targets)
    with pytest.raises(DataError, match="no such data set"):
        run_stage(TABLES, replace(run, plan=replace(run.plan, targets=own)))
    assert not (run.folder / "tables").exists()


@pytest.mark.parametrize(
    ("budgets", "told"), [(("0.001ms",), "fastest reachable"), (("1ms", "0.001ms"), "0.001 ms on local:litert")]
)
def test_budgets_that_nothing_meets_end_a_search_before_it_begins(
    budgets: tuple[str, ...], told: str, brought: Brought
) -> None:
    run = brought(*budgets)
    with pytest.raises(BudgetError, match=told):
        run_stage(SEARCH, run)
    assert not (run.folder / "search").exists() and not (run.folder / "metrics.jsonl").exists()


# What follows is done once, end to end.

RECIPE: dict[str, Any] = {
    "schema": 2,
    "space": "mbconv-8?stem=8&first=8&widths=8&depths=2&strides=2&kernels=3&expands=1,2&head=16",
    "data": "digits",
    # Far above what any network takes: whether a busy machine keeps to a tight budget is no matter of a test.
    "targets": [
        {"target": "local:onnxruntime", "budget": "50ms"},
        {"target": "local:litert", "budget": "60ms"},
    ],
    "bundles": ["server-cpu", "android"],
    "profile": {"protocol": "quick", "networks": 2},
    "search": {"epochs": 2, "warmup_epochs": 1},
    "train": {"epochs": 2},
    "baseline": True,
}


@pytest.fixture(scope="module")
def finished(run_recipe: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tiny.yaml` and the finished `run` of it."""
    folder = tmp_path_factory.mktemp("end-to-end")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    run_recipe(folder)
    return folder


@pytest.mark.slow
def test_a_run_in_a_process_of_its_own_converts_in_workers_and_prints_its_report(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    command = [sys.executable, "-c", "from pipeline.cli import main; main()", "run", "tiny.yaml", "-o", "run", "--json"]
    empty_cache = os.environ | {"MILLIS_CACHE": str(tmp_path / "cache")}
    ended = subprocess.run(command, cwd=tmp_path, env=empty_cache, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == json.loads((tmp_path / "run" / "report.json").read_text())
    assert len(list((tmp_path / "cache" / "artifacts").glob("*/artifact.json"))) > 10


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_ends_with_a_report_of_what_was_found(finished: Path) -> None:
    report = json.loads((finished / "run" / "report.json").read_text())
    network = Architecture.load(finished / "run" / "architecture.json")
    assert report["budget_ms"] == {"local:onnxruntime": 50, "local:litert": 60}
    assert (report["params"], report["macs"]) == (network.params, network.macs)
    assert 0 <= report["accuracy"] <= 1 and report["wall_s"] > 0
    for target, bundle in zip(report["targets"], ("server-cpu", "android"), strict=True):
        assert target["fastest_ms"] <= target["predicted_ms"] <= target["slowest_ms"]
        assert 0 < target["measured_ms"] <= target["p90_ms"]
        assert target["measured_ms"] < target["budget_ms"] == report["budget_ms"][target["target"]]
        assert target["parity_top1_agreement"] == 1
        assert (target["bundle"], target["bundles"]) == (f"bundles/{bundle}", [f"bundles/{bundle}"])
    for target in report["targets"]:
        fp32 = next(each for each in target["precisions"] if each["precision"] == "fp32")
        assert target["precisions"][0]["shipped"]
        for each in target["precisions"]:
            assert each["reason"] and each["validation_images"] == fp32["validation_images"] == 359
            if each["shipped"]:
                assert each["measured_ms"] <= fp32["measured_ms"] * (1 + SAME)
                assert each["validation_accuracy"] >= fp32["validation_accuracy"] - 0.005
    for rival in (report["baseline"]["found"], report["baseline"]["random"]):
        assert 0 <= rival["accuracy"] <= 1 and set(rival["predicted_ms"]) == set(report["budget_ms"])
    assert report["baseline"]["found"]["choices"] == network.kept
    assert (finished / "run" / "report.html").stat().st_size > 10_000


def test_every_stage_of_a_run_says_how_long_it_took(finished: Path) -> None:
    report = json.loads((finished / "run" / "report.json").read_text())
    assert list(report["stages"]) == [
        "profile",
        "search",
        "derive",
        "baseline",
        "train",
        "export",
        "measure",
        "package",
    ]
    assert sum(report["stages"].values()) == pytest.approx(report["wall_s"])


def test_the_bundles_of_a_run_are_whole(finished: Path, millis: Millis) -> None:
    for bundle in ("server-cpu", "android", "server-cpu.zip"):
        found = millis("verify", finished / "run" / "bundles" / bundle, "--json").json
        assert found["complete"] and all(check["done"] for check in found["checks"])


def test_a_bundle_of_a_run_names_the_licence_of_its_images_and_what_int8_was_calibrated_on(finished: Path) -> None:
    manifest = json.loads((finished / "run" / "bundles" / "server-cpu" / "manifest.json").read_text())
    assert manifest["data"]["licence"].startswith("CC BY 4.0")
    assert manifest["calibration"]["images"] == 128 and "trained on" in manifest["calibration"]["description"]
    assert manifest["refused"] == []


def test_a_finished_run_is_not_done_again(finished: Path, millis: Millis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished)
    before = everything(finished / "run")
    ended = millis("run", "tiny.yaml", "-o", "run")
    assert ended.exit_code == 0
    assert ended.stderr.count("done before, skipped") == 9
    assert "local:litert" in ended.stdout and "run/bundles/android" in ended.stdout
    assert everything(finished / "run") == before


def test_other_bundles_are_made_of_a_finished_run_without_training_it_again(
    finished: Path, millis: Millis, tmp_path: Path
) -> None:
    shutil.copytree(finished / "run", tmp_path / "run")
    (found,) = millis("export", tmp_path / "run", "--to", "android", "--json").json["bundles"]
    assert (found["bundle"], found["path"]) == ("android", str(tmp_path / "run" / "bundles" / "android"))
    files = [*found["models"], *found["left_out"]]
    assert sorted(each["precision"] for each in files) == ["fp16", "fp32", "int8"]
    assert all(each["measured_ms"] > 0 and each["reason"] for each in files)
    fp32_ms = next(each["measured_ms"] for each in files if each["precision"] == "fp32")
    assert found["models"][0]["measured_ms"] <= fp32_ms * (1 + SAME)
    assert sorted(path.name for path in (tmp_path / "run" / "bundles").iterdir()) == ["android", "android.zip"]


def test_only_the_precisions_that_are_asked_for_are_shipped(finished: Path, millis: Millis, tmp_path: Path) -> None:
    shutil.copytree(finished / "run", tmp_path / "run")
    words = ("export", tmp_path / "run", "--to", "server-cpu", "--precisions", "fp32", "--max-accuracy-drop", "2.5")
    (found,) = millis(*words, "--json").json["bundles"]
    assert ([each["precision"] for each in found["models"]], found["left_out"]) == (["fp32"], [])
    plan = json.loads((tmp_path / "run" / "plan.json").read_text())
    assert (plan["precisions"], plan["max_accuracy_drop"]) == (["fp32"], 2.5)
    assert not list((tmp_path / "run" / "artifacts").glob("*int8*"))


ALL = ("android", "ios", "web", "linux", "server-cpu", "server-gpu")


@pytest.mark.usefixtures("web_runtimes")
def test_all_six_bundles_come_of_one_command_and_every_one_is_whole(
    finished: Path, millis: Millis, tmp_path: Path
) -> None:
    shutil.copytree(finished / "run", tmp_path / "run")
    ended = millis("export", tmp_path / "run", "--to", ",".join(ALL))
    assert ended.exit_code == 0, ended.stderr
    assert all(f"{name} " in ended.stdout for name in ALL)
    for name in ALL:
        found = millis("verify", tmp_path / "run" / "bundles" / name, "--json").json
        assert found["complete"] == (name != "ios")
    manifest = json.loads((tmp_path / "run" / "bundles" / "server-gpu" / "manifest.json").read_text())
    assert manifest["models"][0]["measured"] == [] and "not measured" in manifest["models"][0]["reason"]


def test_the_command_that_a_missing_entry_names_mends_the_table(finished: Path, millis: Millis, tmp_path: Path) -> None:
    path = tmp_path / "table.yaml"
    whole = load_table(finished / "run" / "tables" / "local-onnxruntime.yaml")
    lacking = next(op for op in whole.entries if op.kind == "mbconv")
    entries = {op: found for op, found in whole.entries.items() if op != lacking}
    networks = tuple(network for network in whole.networks if lacking not in network.ops)
    save_table(replace(whole, entries=entries, networks=networks), path)
    space = ("--space", RECIPE["space"], "--data", "digits", "--epochs", "1", "--warmup-epochs", "0")
    search = ("search", *space, "--table", path, "--budget", "50ms", "-o", tmp_path / "searched")
    message, _, command = millis(*search).problem.partition("; measure it with: ")
    assert str(lacking) in message
    assert millis(*shlex.split(command)[1:]).exit_code == 0
    assert set(load_table(path).entries) == set(whole.entries)
    assert millis(*search).exit_code == 0


def test_a_damaged_bundle_of_a_run_is_told_with_its_file(finished: Path, millis: Millis, tmp_path: Path) -> None:
    shutil.copytree(finished / "run" / "bundles" / "server-cpu", tmp_path / "server-cpu")
    (tmp_path / "server-cpu" / "labels.txt").write_text("zero\n")
    ended = millis("verify", tmp_path / "server-cpu")
    assert ended.exit_code == 1 and "labels.txt" in ended.problem
