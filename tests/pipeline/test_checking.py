"""Predicting a network from a table, and checking a table against fresh networks."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import MeasuredNetwork
from latency_tables.errors import MissingOpError
from latency_tables.table import LatencyTable
from latency_tables.table_file import load_table, save_table
from pipeline.architecture import Architecture
from pipeline.checking import check_journals, check_table, fresh_networks, space_of
from pipeline.space import SearchSpace, SpaceError
from pipeline.spaces import parse_space
from profilers.devices import open_session
from profilers.environment import Environment
from profilers.errors import TargetError
from profilers.op_spec import OpSpec
from profilers.protocol import IMPORTED, protocol_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pipeline.conftest import MakeTable, Millis, Notes

EIGHT = parse_space("mbconv-8")


def compiled(network: Architecture) -> tuple[OpSpec, ...]:
    return tuple(op for op in network.ops() if not op.free)


@given(st.integers(1, 40), st.integers(0, 5), st.integers(0, 5))
def test_fresh_networks_differ_once_compiled_and_are_none_that_is_known(count: int, seed: int, known: int) -> None:
    seen = [compiled(network) for network in fresh_networks(EIGHT, known, seed)]
    drawn = {compiled(network) for network in fresh_networks(EIGHT, count, seed, known=seen)}
    assert len(drawn) == count
    assert not drawn & set(seen)


@given(st.integers(1, 20), st.integers(0, 20))
def test_more_networks_of_a_seed_begin_with_fewer(count: int, more: int) -> None:
    assert fresh_networks(EIGHT, count + more, 7)[:count] == fresh_networks(EIGHT, count, 7)


def test_another_seed_draws_other_networks() -> None:
    assert fresh_networks(EIGHT, 5, 1) != fresh_networks(EIGHT, 5, 2)


def test_a_space_without_as_many_networks_says_how_many_it_has(
    space: SearchSpace, all_networks: Callable[[SearchSpace], list[Architecture]]
) -> None:
    different = {compiled(network) for network in all_networks(space)}
    assert len(fresh_networks(space, len(different), 0)) == len(different)
    with pytest.raises(SpaceError, match=f"only {len(different) - 1} networks .* --networks {len(different) - 1}"):
        fresh_networks(space, len(different), 0, known=[next(iter(different))])


def test_the_measurements_of_a_check_lie_beside_its_table(space: SearchSpace, make_table: MakeTable) -> None:
    table = make_table(space)
    first, again = check_journals(table, Path("tables/pixel.yaml"), table.protocol, 3)
    assert first == Path("tables/pixel.check-seed-3.measurements.jsonl")
    assert again == Path("tables/pixel.check-seed-3.again.measurements.jsonl")
    assert first not in check_journals(table, Path("tables/pixel.yaml"), protocol_named("final"), 3)
    assert first not in check_journals(table, Path("tables/pixel.yaml"), table.protocol, 4)


def check_nothing(table: LatencyTable, space: SearchSpace, folder: Path, notes: Notes) -> None:
    """A check that should be refused before it compiles or measures."""
    journals = check_journals(table, folder / "table.yaml", table.protocol, 0)
    check_table(table, space, table.protocol, count=3, seed=0, journals=journals, watch=notes, cache=folder / "cache")


def test_a_missing_operation_is_named_before_anything_is_compiled(
    space: SearchSpace, make_table: MakeTable, tmp_path: Path, notes: Notes
) -> None:
    table = make_table(space)
    stem = next(iter(table.entries))
    lacking = replace(table, entries={op: latency for op, latency in table.entries.items() if op != stem})
    with pytest.raises(MissingOpError, match=str(stem)):
        check_nothing(lacking, space, tmp_path, notes)
    assert list(tmp_path.iterdir()) == [] and notes.notes == []


def test_a_table_that_others_measured_cannot_be_checked(space: SearchSpace, make_table: MakeTable) -> None:
    table = make_table(space)
    with pytest.raises(TargetError, match="others measured this table"):
        space_of(replace(table, protocol=replace(table.protocol, name=IMPORTED)), space.name)


@pytest.fixture(scope="module")
def measurable(space: SearchSpace, make_table: MakeTable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of invented numbers, one of them a network's, made on this very machine."""
    table = make_table(space)
    with closing(open_session(table.target)) as session:
        environment = session.environment
    ops = compiled(Architecture(space, (0,) * len(space.decisions)))
    network = MeasuredNetwork(name="network smallest", ops=ops, measured_ms=0.01, spread=0.01)
    path = tmp_path_factory.mktemp("measurable") / "table.yaml"
    save_table(replace(table, environment=environment, networks=(network,), space=space.name), path)
    return path


def test_a_check_measures_networks_that_the_table_has_not_seen(
    measurable: Path, millis: Millis, tmp_path: Path
) -> None:
    picture = tmp_path / "check.png"
    words = ("table", "check", measurable, "--networks", "2", "--seed", "1")
    found = millis(*words, "--picture", picture, "--json").json
    assert {"mape", "within_5pct", "within_10pct", "spearman", "coverage_90", "bias"} <= found.keys()
    assert found["networks"] == len(found["measured"]) == 2
    assert found["target"] == "local:onnxruntime" and found["environment"]["runtime"] == "onnxruntime"
    for each in found["measured"]:
        low, high = each["interval_90_ms"]
        assert low < each["predicted_ms"] < high
        assert each["measured_ms"] > 0 and each["measured_again_ms"] > 0
    assert found["known_networks_again"]["networks"] == 1
    assert picture.read_bytes().startswith(b"\x89PNG")
    journals = {path: path.read_bytes() for path in measurable.parent.glob("*.check-seed-1*")}
    assert len(journals) == 2
    again = millis(*words)
    assert again.exit_code == 0 and "plain sums" in again.stdout and "2 fresh networks" in again.stdout
    assert {path: path.read_bytes() for path in journals} == journals  # nothing is measured twice


def test_a_check_of_another_environment_is_refused_before_anything_is_timed(measurable: Path, millis: Millis) -> None:
    table = load_table(measurable)
    facts = dict(table.environment.facts) | {"runtime_version": "0.1"}
    moved = measurable.with_name("moved.yaml")
    save_table(replace(table, environment=Environment(facts)), moved)
    ended = millis("table", "check", moved, "--networks", "2", "--seed", "1")
    assert ended.exit_code == 1 and "runtime_version" in ended.problem
    assert not any("times_ms" in journal.read_text() for journal in measurable.parent.glob("moved.check*.jsonl"))


@pytest.fixture
def invented(space: SearchSpace, make_table: MakeTable, tmp_path: Path) -> Path:
    """A table of invented numbers that three networks correct, half of its costs being overhead."""
    table = make_table(space)
    networks = tuple(
        MeasuredNetwork(name=f"network {place}", ops=compiled(each), measured_ms=0.5 * ms, spread=0.01)
        for place, each in enumerate(fresh_networks(space, 3, 0))
        if (ms := table.plain_ms(each.ops()))
    )
    save_table(replace(table, networks=networks, space=""), tmp_path / "table.yaml")
    return tmp_path / "table.yaml"


@pytest.fixture
def architecture(space: SearchSpace, tmp_path: Path) -> Path:
    fresh_networks(space, 1, 5)[0].save(tmp_path / "architecture.json")
    return tmp_path / "architecture.json"


def predict(millis: Millis, *words: str | Path) -> Any:
    return millis("table", "predict", *words, "--json").json


def test_layers_and_the_call_itself_make_up_a_prediction(invented: Path, architecture: Path, millis: Millis) -> None:
    found = predict(millis, invented, architecture)
    layers_ms = sum(layer["ms"] for layer in found["layers"])
    assert found["overhead_ms"] + layers_ms + found["crowding_ms"] == pytest.approx(found["predicted_ms"])
    assert sum(layer["share"] for layer in found["layers"]) == pytest.approx(layers_ms / found["predicted_ms"])
    assert found["layers"][0]["layer"] == "stem"
    assert found["predicted_ms"] < found["plain_sum_ms"]
    assert (found["calibration_networks"], found["environment"]["cpu"]) == (3, "Imaginary 3000")


def test_more_confidence_takes_a_wider_interval(invented: Path, architecture: Path, millis: Millis) -> None:
    narrow, usual, wide = (
        predict(millis, invented, architecture, "--confidence", text)["interval_ms"] for text in ("0.5", "0.9", "0.99")
    )
    assert wide[0] < usual[0] < narrow[0] < narrow[1] < usual[1] < wide[1]
    assert predict(millis, invented, architecture)["interval_ms"] == usual


def test_a_prediction_is_shown_with_how_it_was_obtained(invented: Path, architecture: Path, millis: Millis) -> None:
    told = millis("table", "predict", invented, architecture).stdout
    for phrase in ("90% interval", "Imaginary 3000", "quick: median", "3 whole networks", "a call, once", "classifier"):
        assert phrase in told


def test_an_operation_that_the_table_lacks_is_named_not_guessed(invented: Path, millis: Millis) -> None:
    ended = millis("table", "predict", invented, "mobilenet-v2")
    assert ended.exit_code == 1
    assert "operation 'conv in=224x224x3" in ended.problem and "millis profile --op" in ended.problem


def test_a_table_that_does_not_tell_its_space_asks_for_it(invented: Path, millis: Millis) -> None:
    ended = millis("table", "check", invented)
    assert ended.exit_code == 1 and ended.problem.endswith("say it with --space")


@pytest.mark.parametrize(
    "words",
    [
        ["predict", "TABLE", "mobilenet-v2", "--confidence", "1"],
        ["predict", "TABLE"],
        ["check", "TABLE", "--picture", "check.gif"],
        ["check", "TABLE", "--networks", "0"],
        ["show", "TABLE", "--plot", "table.pdf"],
        ["show", "TABLE", "TABLE"],
    ],
    ids=" ".join,
)
def test_wrong_usage_of_a_table_is_exit_code_two(words: list[str], invented: Path, millis: Millis) -> None:
    ended = millis("table", *(str(invented) if word == "TABLE" else word for word in words))
    assert ended.exit_code == 2 and ended.stdout == "" and "Traceback" not in ended.stderr


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_a_table_is_drawn_alone_and_beside_another(suffix: str, invented: Path, tmp_path: Path, millis: Millis) -> None:
    alone, both = tmp_path / f"alone{suffix}", tmp_path / f"both{suffix}"
    assert json.loads(millis("table", "show", invented, "--plot", alone, "--json").stdout) == {"picture": str(alone)}
    assert millis("table", "show", invented, invented, "--plot", both).stdout == f"{both}\n"
    assert alone.read_bytes() != both.read_bytes()
