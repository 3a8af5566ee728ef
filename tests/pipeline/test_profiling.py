from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from latency_tables.calibration import MeasuredNetwork
from pipeline.architecture import Architecture
from pipeline.profiling import (
    FIRST_NETWORKS,
    MORE_NETWORKS,
    Batch,
    Workload,
    compile_job,
    example_for,
    journal_of,
    network_name,
)
from pipeline.space import SearchSpace
from pipeline.spaces import SPACES, parse_space
from profilers.graph import Graph
from profilers.op_spec import OpSpec
from tests.pipeline.conftest import by_macs

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

EXTRA = OpSpec.parse("classifier in=1x1x8 out=2")


@pytest.mark.parametrize("name", sorted(SPACES))
def test_the_first_networks_are_different_ones_and_the_same_every_time(name: str) -> None:
    space = parse_space(name)
    first = Workload.of(space, networks=24).missing(None).networks
    assert len(set(first)) == len(first) == min(FIRST_NETWORKS, space.size)
    assert first == Workload.of(space, networks=16).missing(None).networks


def test_a_small_space_gives_no_network_twice(space: SearchSpace) -> None:
    first = Workload.of(space, networks=100).missing(None).networks
    assert len(set(first)) == len(first) <= space.size


def test_no_network_is_measured_where_none_is_asked_for(space: SearchSpace) -> None:
    assert Workload.of(space, networks=0).missing(None).networks == ()
    assert Workload(ops=(EXTRA,), networks=5).missing(None).networks == ()


def test_a_workload_holds_every_operation_once_and_nothing_that_is_free(space: SearchSpace) -> None:
    workload = Workload.of(space, networks=2, extra_ops=[EXTRA, space.op_specs()[0]])
    assert workload.ops == workload.missing(None).ops == (*space.op_specs(), EXTRA)
    assert not any(op.free for op in workload.ops)
    assert len(workload.missing(None).networks) == 2


def whole(networks: Sequence[Architecture], off: Sequence[float]) -> tuple[MeasuredNetwork, ...]:
    """The networks as measured: off their plain sums by these factors."""
    return tuple(
        MeasuredNetwork(
            name=network_name(network),
            ops=tuple(op for op in network.ops() if not op.free),
            measured_ms=factor * sum(by_macs(op) for op in network.ops() if not op.free),
            spread=0.0,
        )
        for network, factor in zip(networks, off, strict=True)
    )


def in_a_network(network: Architecture) -> float:
    """Over its plain sum, a network's latency where each operation costs up to half more or less than alone."""
    ops = [op for op in network.ops() if not op.free]
    changed = sum(by_macs(op) * Random(str(op)).uniform(0.5, 1.5) for op in ops)
    return changed / sum(by_macs(op) for op in ops)


def test_a_table_of_doubtful_predictions_asks_for_networks_that_it_does_not_have(make_table: MakeTable) -> None:
    space = parse_space("mbconv-8")
    workload = Workload.of(space, networks=24)
    first = workload.missing(None).networks
    off = [in_a_network(network) for network in first]
    more = workload.missing(make_table(space, networks=whole(first, off)))
    assert more.ops == ()
    assert len(more.networks) == MORE_NETWORKS
    assert not {*more.networks} & {*first}


def test_a_table_whose_predictions_are_sure_asks_for_nothing_more(make_table: MakeTable) -> None:
    space = parse_space("mbconv-8")
    workload = Workload.of(space, networks=24)
    first = workload.missing(None).networks
    table = make_table(space, networks=whole(first, [1.1] * len(first)))
    assert workload.missing(table).graphs() == {}


def test_the_number_of_networks_is_not_exceeded(make_table: MakeTable) -> None:
    space = parse_space("mbconv-8")
    first = Workload.of(space, networks=16).missing(None).networks
    off = [in_a_network(network) for network in first]
    table = make_table(space, networks=whole(first, off))
    assert Workload.of(space, networks=16).missing(table).graphs() == {}
    assert len(Workload.of(space, networks=17).missing(table).networks) == 1


def test_what_was_only_inferred_is_measured_and_what_was_measured_is_not(make_table: MakeTable) -> None:
    space = parse_space("mbconv-8")
    table = make_table(space)
    guessed, lacking, *_ = space.op_specs()
    entries = {op: each for op, each in table.entries.items() if op != lacking}
    entries[guessed] = replace(entries[guessed], source="inferred", samples=0)
    missing = Workload.of(space, networks=0).missing(replace(table, entries=entries))
    assert missing.ops == (guessed, lacking)


def test_everything_is_measured_under_a_name_of_its_own(space: SearchSpace) -> None:
    networks = (Architecture(space, (0, 0, 0)), Architecture(space, (1, 2, 1)))
    graphs = Batch(ops=(EXTRA,), networks=networks).graphs()
    assert graphs == {str(EXTRA): Graph.chain((EXTRA,))} | {network_name(net): net.graph() for net in networks}
    assert network_name(networks[1]) == "network k3e2 identity k3e2"


def test_one_chain_compiled_twice_is_one_job_in_the_cache(space: SearchSpace) -> None:
    graph, other = (Architecture(space, choices).graph() for choices in ((0, 1, 0), (0, 0, 0)))
    assert compile_job(graph, "onnxruntime").key() == compile_job(graph, "onnxruntime").key()
    assert compile_job(graph, "onnxruntime").key() != compile_job(other, "onnxruntime").key()
    assert tuple(example_for(graph.in_shape).shape) == (1, 1, 8, 8)


def test_the_journal_lies_beside_its_table() -> None:
    assert journal_of(Path("tables/phone.yaml")) == Path("tables/phone.measurements.jsonl")
