from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.architecture import Architecture
from pipeline.budget import BudgetError, Goal
from pipeline.search_settings import SearchSettings, read_settings
from pipeline.search_task import SearchError, SearchResult, Tried
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from profilers.errors import FileError

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

AllNetworks = Callable[[SearchSpace], list[Architecture]]


@pytest.fixture
def by_latency(
    space: SearchSpace, make_table: MakeTable, all_networks: AllNetworks
) -> list[tuple[float, Architecture]]:
    """Every network with its predicted latency, fastest first."""
    table = make_table(space)
    return sorted(((table.network_ms(net.ops()), net) for net in all_networks(space)), key=lambda pair: pair[0])


def tried(*networks: tuple[Architecture, float]) -> SearchResult:
    found = tuple(Tried(choices=network.labels, accuracy=accuracy) for network, accuracy in networks)
    return SearchResult(strategy="random", space=networks[0][0].space.name, tried=found)


def test_a_distribution_comes_back_from_its_file_to_the_bit(space: SearchSpace, tmp_path: Path) -> None:
    log_probability = {
        layer.name: {label: -1 / (3 + i) for i, label in enumerate(layer.labels)} for layer in space.decisions
    }
    result = SearchResult(strategy="proxyless", space=space.name, log_probability=log_probability)
    result.save(tmp_path / "result.json")
    assert SearchResult.load(tmp_path / "result.json") == result


def test_networks_that_were_tried_come_back_from_their_file(
    by_latency: list[tuple[float, Architecture]], tmp_path: Path
) -> None:
    result = tried(*((network, latency / 10) for latency, network in by_latency))
    result.save(tmp_path / "result.json")
    assert SearchResult.load(tmp_path / "result.json") == result


def test_the_most_probable_network_is_derived_from_a_distribution(space: SearchSpace, make_table: MakeTable) -> None:
    wanted = Architecture(space, (1, 2, 0))
    scores = {
        layer.name: {label: 0.0 if label == wanted.labels[layer.name] else -3.0 for label in layer.labels}
        for layer in space.decisions
    }
    result = SearchResult(strategy="proxyless", space=space.name, log_probability=scores)
    assert result.derive(space, (Goal(table=make_table(space), budget_ms=100.0),)) == wanted


def test_the_best_network_tried_within_the_budget_is_derived(
    space: SearchSpace, make_table: MakeTable, by_latency: list[tuple[float, Architecture]]
) -> None:
    (fast_ms, fast), (_, middle), (slow_ms, slow) = by_latency[2], by_latency[4], by_latency[-1]
    result = tried((fast, 0.9), (middle, 0.8), (slow, 0.95))
    table = make_table(space)
    assert result.derive(space, (Goal(table=table, budget_ms=slow_ms),)) == slow
    assert result.derive(space, (Goal(table=table, budget_ms=slow_ms * 0.99),)) == fast
    both = (Goal(table=table, budget_ms=slow_ms), Goal(table=table, budget_ms=fast_ms))
    assert result.derive(space, both) == fast


def test_networks_tried_that_miss_the_budget_are_told_from_a_budget_that_nothing_meets(
    space: SearchSpace, make_table: MakeTable, by_latency: list[tuple[float, Architecture]]
) -> None:
    (fastest_ms, _), (_, slowest) = by_latency[0], by_latency[-1]
    result, table = tried((slowest, 0.9)), make_table(space)
    with pytest.raises(BudgetError, match="none of the 1 networks that random search tried"):
        result.derive(space, (Goal(table=table, budget_ms=fastest_ms * 1.01),))
    with pytest.raises(BudgetError, match=f"fastest reachable is {fastest_ms:.4g} ms"):
        result.derive(space, (Goal(table=table, budget_ms=fastest_ms * 0.9),))


def test_a_result_says_nothing_of_another_space(
    make_table: MakeTable, by_latency: list[tuple[float, Architecture]]
) -> None:
    other = parse_space("mbconv-8")
    with pytest.raises(SearchError, match="tells nothing of mbconv-8"):
        tried((by_latency[0][1], 0.5)).derive(other, (Goal(table=make_table(other), budget_ms=100.0),))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"schema": 9}, "schema"),
        ({"strategy": None}, "strategy"),
        ({"tried": [], "log_probability": None}, "log_probability"),
        ({"log_probability": {"stage1": {"k3e1": "likely"}}}, "log_probability.stage1.k3e1"),
        ({"tried": [{"choices": {}}]}, "tried.0.accuracy"),
        ({"tried": [{"choices": {}, "accuracy": 1, "loss": 0}]}, "tried.0.loss: no such field"),
        ({"probability": {}}, "probability: no such field"),
    ],
)
def test_a_damaged_result_is_one_line_naming_file_and_field(
    change: dict[str, Any], told: str, by_latency: list[tuple[float, Architecture]], tmp_path: Path
) -> None:
    path = tmp_path / "result.json"
    tried((by_latency[0][1], 0.5)).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FileError, match=rf"result\.json: {told}"):
        SearchResult.load(path)


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": 0},
        {"epochs": 5, "warmup_epochs": 5},
        {"warmup_epochs": -1},
        {"batch_size": 0},
        {"learning_rate": float("nan")},
        {"alpha_learning_rate": 0.0},
        {"inner_steps": 0},
        {"networks": 0},
        {"label_smoothing": 1.0},
        {"strategy": "fbnet", "order": "second"},
        {"strategy": "fbnet", "inner_steps": 2},
        {"strategy": "snas", "inner_steps": 2},
        {"seeds": 0},
        {"latency_power": 0.0},
        {"temperature": -1.0},
        {"learning_rate_end": -0.1},
        {"weight_decay": -1e-9},
    ],
    ids="-".join,
)
def test_settings_under_which_nothing_could_be_searched_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=list(setting)[-1]):
        SearchSettings(**setting)


def test_what_is_left_out_is_the_strategys_own_and_a_warm_up_keeps_its_share() -> None:
    assert SearchSettings().alpha_learning_rate == 0.02
    darts, shorter = SearchSettings(strategy="pc-darts"), SearchSettings(strategy="pc-darts", epochs=10)
    assert (darts.epochs, darts.warmup_epochs, darts.batch_size, darts.alpha_learning_rate) == (50, 15, 256, 6e-4)
    assert (shorter.epochs, shorter.warmup_epochs) == (10, 3)
    assert SearchSettings(strategy="fbnet").latency_power == 0.6
    assert SearchSettings(strategy="fbnet", latency_loss="mul#log").latency_power == 0.3
    assert SearchSettings(epochs=1).warmup_epochs == 0


def test_settings_are_read_from_words_as_from_a_recipe() -> None:
    read = read_settings(["inner_steps=3", "latency_loss=add#linear"], strategy="darts", epochs=7)
    assert read == SearchSettings(strategy="darts", epochs=7, inner_steps=3, latency_loss="add#linear")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["inner_step=3"], "no setting 'inner_step'; there are strategy, epochs"),
        (["inner_steps"], "write NAME=VALUE"),
        (["inner_steps=3", "inner_steps=4"], "given twice"),
        (["inner_steps=often"], "inner_steps: "),
        (["inner_steps=0"], "inner_steps=0 must be"),
        (["order=third"], "order: "),
    ],
    ids=str,
)
def test_a_slip_in_a_setting_is_told_by_its_name(words: list[str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_settings(words)
