from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.packagers import load_packager
from pipeline.plan import Plan, ProfilePlan, TargetPlan, load_plan, load_recipe
from pipeline.recurrent.plan import is_language_recipe
from pipeline.search_settings import SearchSettings
from pipeline.spaces import parse_space
from pipeline.train_settings import TrainSettings
from profilers.errors import FileError

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "pipeline" / "recipes").glob("*.yaml"))
RECIPES = [path for path in SHIPPED if not is_language_recipe(path)]
TARGET = {"target": "local:onnxruntime", "budget": "40%"}
LITERT = {"target": "local:litert", "budget": "40%"}
RECIPE: dict[str, Any] = {"schema": 2, "space": "mbconv-8", "data": "digits", "targets": [TARGET]}


def written(folder: Path, document: object, name: str = "tiny.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(document))
    return path


def problem_of(path: Path) -> str:
    """What is wrong with a recipe: one line that begins with the file."""
    with pytest.raises(FileError) as caught:
        load_recipe(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_one_that_can_be_run(path: Path) -> None:
    plan = load_recipe(path)
    assert plan.name == path.stem
    assert parse_space(plan.space).decisions
    assert set(plan.bundles) >= {"server-cpu", "android"}


def test_a_short_recipe_takes_its_name_from_its_file_and_the_rest_from_the_defaults(tmp_path: Path) -> None:
    plan = load_recipe(written(tmp_path, RECIPE))
    assert plan.name == "tiny"
    assert (plan.profile, plan.search, plan.train) == (ProfilePlan(), SearchSettings(), TrainSettings())


def test_a_plan_comes_back_from_its_folder_as_it_was(tmp_path: Path) -> None:
    search = SearchSettings(epochs=7, warmup_epochs=2, paths="full")
    target = TargetPlan(target="local:litert?threads=2", budget="1.5ms", table="t.yaml")
    plan = Plan(
        name="mine",
        space="mbconv-8",
        data="digits",
        targets=(target,),
        bundles=("android",),
        precisions=("fp32", "int8"),
        max_accuracy_drop=1.5,
        seed=3,
        search=search,
        start="scratch",
    )
    plan.save(tmp_path / "run")
    assert load_plan(tmp_path / "run") == plan


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"serach": {}}, "serach: no such field"),
        ({"search": {"epoch": 3}}, "search.epoch: no such field"),
        ({"train": {"lr": 0.1}}, "train.lr: no such field"),
        ({"profile": {"protocols": "quick"}}, "profile.protocols: no such field"),
        ({"targets": [TARGET | {"budgets": "1ms"}]}, "targets.0.budgets: no such field"),
        ({"targets": [{"target": "local:onnxruntime"}]}, "targets.0.budget: "),
        ({"targets": [TARGET | {"budget": "fast"}]}, "'fast' is not a budget"),
        ({"targets": [TARGET | {"budget": 12}]}, "targets.0.budget: "),
        ({"targets": [TARGET | {"target": "local:tensorrt"}]}, "runtime 'tensorrt' is not available"),
        ({"targets": [TARGET, TARGET]}, "target local:onnxruntime is named twice"),
        ({"targets": [TARGET, TARGET | {"target": "local:onnxruntime?threads=1"}]}, "is named twice"),
        ({"bundles": ["andriod"]}, "packager 'andriod'"),
        (
            {"bundles": ["android"]},
            "bundles: android takes what is measured on adb or local by litert (cpu), and no target",
        ),
        ({"bundles": ["server-cpu", "server-cpu"]}, "bundles: server-cpu is named twice"),
        ({"bundles": "server-cpu"}, "bundles: "),
        ({"precisions": ["int4"]}, "precisions.0: "),
        ({"precisions": ["int8", "int8"]}, "precisions: int8 is named twice"),
        ({"max_accuracy_drop": -1}, "max_accuracy_drop=-1"),
        ({"max_accuracy_drop": float("nan")}, "max_accuracy_drop"),
        ({"targets": []}, "name at least one target"),
        ({"profile": {"protocol": "quik"}}, "no protocol 'quik'"),
        ({"profile": {"networks": -1}}, "networks=-1"),
        ({"search": {"strategy": "proxyles"}}, "search.strategy: no 'proxyles'; there are: proxyless, darts"),
        ({"search": {"epochs": 4, "warmup_epochs": 4}}, "warmup_epochs=4"),
        ({"search": {"paths": "three"}}, "search.paths: "),
        ({"search": {"learning_rate": "fast"}}, "search.learning_rate: "),
        ({"start": "anywhere"}, "start: "),
        ({"name": "../mine"}, "name: '../mine'"),
        ({"schema": 3}, "schema: this recipe is of version 3, but this millis reads version 2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_slip_in_a_recipe_is_one_line_naming_file_and_field(
    change: dict[str, Any], told: str, tmp_path: Path
) -> None:
    assert told in problem_of(written(tmp_path, RECIPE | change))


OLD = RECIPE | {"schema": 1, "targets": [TARGET | {"bundle": "server-cpu"}, LITERT | {"bundle": "android"}]}


@pytest.mark.parametrize("schema", [1, 2])
def test_bundles_in_targets_are_refused_with_what_to_write(schema: int, tmp_path: Path) -> None:
    problem = problem_of(written(tmp_path, OLD | {"schema": schema}))
    assert problem.startswith("targets.0.bundle: ")
    assert problem.endswith(
        "write schema: 2 and, beside targets, bundles: [server-cpu, android] in place of each target's bundle"
    )


def test_a_recipe_of_the_first_version_without_bundles_only_needs_its_number(tmp_path: Path) -> None:
    assert problem_of(written(tmp_path, RECIPE | {"schema": 1})).endswith("a list of their own; write schema: 2")


def test_a_folder_of_an_earlier_version_is_told_the_same(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(OLD))
    with pytest.raises(FileError, match=r"plan\.json: targets\.0\.bundle: .*bundles: \[server-cpu, android\]"):
        load_plan(tmp_path)


def test_targets_of_any_precision_can_be_searched_for(tmp_path: Path) -> None:
    plan = load_recipe(
        written(tmp_path, RECIPE | {"targets": [{"target": "local:litert?precision=int8", "budget": "1ms"}]})
    )
    assert plan.targets[0].parsed.precision == "int8"


def test_a_bundle_is_judged_on_the_likeliest_of_its_devices() -> None:
    targets = tuple(
        TargetPlan(target=name, budget="1ms") for name in ("local:litert", "local:onnxruntime", "adb:X:litert")
    )
    plan = Plan(space="mbconv-8", data="digits", targets=targets, bundles=("android", "server-gpu"))
    suiting = plan.suiting(load_packager("android"))
    assert [target.target for target in suiting] == ["adb:X:litert", "local:litert"]
    assert plan.suiting(load_packager("server-gpu")) == ()  # which may be made unmeasured


@pytest.mark.parametrize("field", ["schema", "space", "data", "targets"])
def test_a_recipe_without_a_field_that_is_needed_says_which(field: str, tmp_path: Path) -> None:
    lacking = {name: value for name, value in RECIPE.items() if name != field}
    assert problem_of(written(tmp_path, lacking)).startswith(f"{field}: ")


def test_a_file_whose_name_cannot_name_a_network_says_what_can(tmp_path: Path) -> None:
    path = written(tmp_path, RECIPE, "my recipe.yaml")
    assert problem_of(path).startswith("name: 'my recipe'")
    assert load_recipe(written(tmp_path, RECIPE | {"name": "mine"}, "my recipe.yaml")).name == "mine"


@pytest.mark.parametrize("text", ["", "[]", "- a", "a: [", "\x00", "schema: 1\nspace: *a"])
def test_what_is_no_mapping_of_fields_is_no_recipe(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    problem_of(path)


def test_a_recipe_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert problem_of(tmp_path / "none.yaml") == "no such recipe"


@given(
    document=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*RECIPE, "search", "train", "epochs", "budget", "x"]), inner, max_size=4)
        ),
    )
)
def test_any_document_is_a_recipe_or_an_error_of_one_line(
    document: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = written(tmp_path_factory.getbasetemp(), RECIPE | {"search": document})
    try:
        plan = load_recipe(path)
    except FileError:
        problem_of(path)
    else:
        assert plan.search.epochs > plan.search.warmup_epochs
