from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import combinations, product
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latency_tables.calibration import MeasuredNetwork
from pipeline.architecture import Architecture
from pipeline.budget import Goal, Reach
from pipeline.checking import rebuilt
from pipeline.darts_networks import architecture_of, genotype_of
from pipeline.data.seeding import generator
from pipeline.derivation import derive
from pipeline.genotypes import GENOTYPES, Genotype
from pipeline.profiling import Workload, network_name, network_named
from pipeline.space import NONE, SearchSpace, SpaceError
from pipeline.spaces import parse_space
from profilers.op_spec import OpSpec

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

CIFAR = parse_space("darts-cifar")
# Two nodes, three cells: 3 * 49 * 49 * 7 * 7 networks of each cell.
TINY = parse_space("darts-cifar?resolution=8&filters=2&layers=3&nodes=2")


def test_the_space_has_the_published_number_of_networks() -> None:
    assert CIFAR.size == 1_037_664_180**2
    assert parse_space("darts-imagenet").size == CIFAR.size


def test_edges_come_in_the_order_of_darts() -> None:
    names = [decision.name for decision in CIFAR.decisions]
    assert len(names) == 28
    assert names[:5] == ["normal.0-2", "normal.1-2", "normal.0-3", "normal.1-3", "normal.2-3"]
    assert CIFAR.decisions[14].labels == CIFAR.decisions[0].labels
    assert names[14] == "reduce.0-2"
    assert CIFAR.decisions[0].labels == (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    )


def test_an_edge_costs_what_it_adds_to_every_cell_of_its_kind() -> None:
    normal, reduce = (CIFAR.decisions[place] for place in (0, 14))
    counts = {decision.name: [len(ops) for ops in decision.ops] for decision in (normal, reduce)}
    assert counts == {"normal.0-2": [0, *[6] * 7], "reduce.0-2": [0, *[2] * 7]}
    shapes = Counter(str(op.in_shape) for op in normal.ops[4])
    assert shapes == {"32x32x16": 2, "16x16x32": 2, "8x8x64": 2}
    assert [str(op) for op in reduce.ops[3]] == ["reduce in=32x32x32 out=32", "reduce in=16x16x64 out=64"]


def not_free(ops: Iterable[OpSpec]) -> Counter[OpSpec]:
    return Counter(op for op in ops if not op.free)


@given(st.integers(0, 2**32), st.sampled_from([CIFAR, TINY, parse_space("darts-28")]))
def test_a_network_is_what_is_fixed_and_what_was_chosen(seed: int, space: SearchSpace) -> None:
    network = Architecture.random(space, Random(seed))
    decided = zip(space.decisions, network.choices, strict=True)
    added = [op for decision, choice in decided for op in decision.ops[choice]]
    assert Counter(network.graph().ops()) == Counter(network.ops()) == Counter([*space.fixed, *added])
    assert set(not_free(network.ops())) <= set(space.op_specs())


@given(st.integers(0, 2**32))
def test_two_edges_enter_each_node(seed: int) -> None:
    labels = Architecture.random(CIFAR, Random(seed)).labels
    entering = Counter(name.rsplit("-")[0][:7] + name[-1] for name, label in labels.items() if label != NONE)
    assert set(entering.values()) == {2}
    assert len(entering) == 8


def test_random_networks_are_uniform_over_the_space() -> None:
    rng = Random(0)
    drawn = [Architecture.random(TINY, rng).labels for _ in range(6000)]
    edges = Counter(NONE if labels["normal.0-3"] == NONE else "kept" for labels in drawn)
    assert 1900 < edges[NONE] < 2100  # one of three edges is dropped
    assert all(500 < count < 660 for label, count in Counter(d["normal.0-3"] for d in drawn).items() if label != NONE)


def test_a_network_comes_back_from_its_file_without_the_edges_that_were_dropped(tmp_path: Path) -> None:
    network = architecture_of(GENOTYPES["darts-v2"], CIFAR)
    network.save(tmp_path / "network.json")
    assert Architecture.load(tmp_path / "network.json") == network
    choices = json.loads((tmp_path / "network.json").read_text())["choices"]
    assert len(choices) == 16
    assert choices["normal.2-5"] == "dil_conv_3x3"


@given(st.integers(0, 2**32))
def test_a_network_is_a_genotype_and_comes_back_from_it(seed: int) -> None:
    network = Architecture.random(CIFAR, Random(seed))
    assert architecture_of(Genotype.parse(str(genotype_of(network))), CIFAR) == network


@given(st.integers(0, 2**32))
def test_a_network_is_found_by_the_name_that_it_is_measured_under(seed: int) -> None:
    network = Architecture.random(CIFAR, Random(seed))
    assert network_named(network_name(network), CIFAR) == network
    assert network_named("network k3e3 k5e6", CIFAR) is None


def test_a_published_genotype_has_the_published_counts_in_the_space() -> None:
    network = architecture_of(GENOTYPES["darts-v2"], parse_space("darts-cifar?filters=36&layers=20"))
    assert (network.params, network.macs) == (3_349_342, 528_359_040)


@pytest.mark.parametrize("name", ["nasnet", "amoebanet", "pc-darts-cifar"])
def test_genotypes_beyond_the_space_are_refused(name: str) -> None:
    if name == "pc-darts-cifar":
        with pytest.raises(SpaceError, match="has 2 nodes"):
            architecture_of(GENOTYPES[name], TINY)
    else:
        with pytest.raises(SpaceError, match="has 4 nodes, and all of them make up the output"):
            architecture_of(GENOTYPES[name], CIFAR)


def test_a_broken_rule_is_told_with_its_edges() -> None:
    kept = {
        name: label for name, label in Architecture.random(CIFAR, Random(0)).kept.items() if "normal.0-2" not in name
    }
    with pytest.raises(SpaceError, match=r"normal\.0-2, normal\.1-2: 1 of them are kept; darts-cifar keeps 2"):
        Architecture.from_labels(CIFAR, kept)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("darts-cifar?filters=15", "filters=15 must be even"),
        ("darts-cifar?layers=2", "layers=2 must be at least 3"),
        ("darts-cifar?nodes=0", "nodes=0 must be from 1 to"),
        ("darts-cifar?stem_stride=4", "stem_stride=4 must be 1, as for CIFAR, or 8"),
    ],
)
def test_numbers_that_make_no_network_are_refused(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        parse_space(text)


@torch.no_grad()
def test_every_edge_of_the_space_computes_what_its_shape_promises() -> None:
    space = parse_space("darts-28?filters=4")
    for seed in range(3):
        network = Architecture.random(space, Random(seed))
        module = network.graph().module().eval()
        assert module(torch.zeros(1, 1, 28, 28)).shape == (1, 10)
        assert sum(parameter.numel() for parameter in module.parameters()) == network.params


LogProbability = dict[str, dict[str, float]]


def random_log_probability(space: SearchSpace, seed: int) -> LogProbability:
    alpha = torch.randn(len(space.decisions), 8, generator=generator(seed), dtype=torch.float64)
    rows = alpha.log_softmax(1).tolist()
    return {d.name: dict(zip(d.labels, row, strict=True)) for d, row in zip(space.decisions, rows, strict=True)}


def derived_by_darts(log_probability: LogProbability, kind: str, node: int) -> dict[str, str]:
    """The rule as its paper tells it, of one node."""
    rows = {name: row for name, row in log_probability.items() if name.startswith(kind) and name.endswith(f"-{node}")}
    best = {name: max((label for label in row if label != NONE), key=row.__getitem__) for name, row in rows.items()}
    strongest = sorted(rows, key=lambda name: -rows[name][best[name]])[:2]
    return {name: best[name] for name in strongest}


@given(st.integers(0, 2**32))
def test_without_a_budget_the_network_is_what_darts_derives(seed: int) -> None:
    log_probability = random_log_probability(CIFAR, seed)
    expected: dict[str, str] = {}
    for kind in ("normal", "reduce"):
        for node in range(2, 6):
            expected |= derived_by_darts(log_probability, kind, node)
    assert derive(CIFAR, log_probability, ()).kept == {n: expected[n] for n in log_probability if n in expected}


def hand_made(**rows: dict[str, float]) -> LogProbability:
    """Probabilities of TINY's edges; those not given are of weak pools."""
    weak = dict.fromkeys(TINY.decisions[0].labels, -9.0) | {"max_pool_3x3": -8.0}
    given_rows = {name.replace("_", ".").replace("to", "-"): row for name, row in rows.items()}
    return {decision.name: weak | given_rows.get(decision.name, {}) for decision in TINY.decisions}


def test_a_dominant_none_is_never_selected_and_weakens_only_what_stands_beside_it() -> None:
    log_probability = hand_made(
        normal_0to3={"none": -0.5, "sep_conv_3x3": -1.2},
        normal_1to3={"none": -2.3, "sep_conv_3x3": -1.4},
        normal_2to3={"none": -3.0, "skip_connect": -1.5},
    )
    kept = derive(TINY, log_probability, ()).kept
    assert {name: label for name, label in kept.items() if name in {"normal.0-3", "normal.1-3", "normal.2-3"}} == {
        "normal.0-3": "sep_conv_3x3",
        "normal.1-3": "sep_conv_3x3",
    }


def test_ties_go_to_the_lower_edge_and_the_lower_operation() -> None:
    log_probability = {decision.name: dict.fromkeys(decision.labels, -2.0) for decision in TINY.decisions}
    kept = derive(TINY, log_probability, ()).kept
    assert [name for name in kept if name.startswith("normal")] == [
        "normal.0-2",
        "normal.1-2",
        "normal.0-3",
        "normal.1-3",
    ]
    assert set(kept.values()) == {"max_pool_3x3"}


def test_under_a_loose_budget_ties_fall_the_same_way(make_table: MakeTable) -> None:
    table = make_table(TINY)
    goal = Goal(table=table, budget_ms=Reach.of(TINY, table).slowest_ms)
    log_probability = {decision.name: dict.fromkeys(decision.labels, -2.0) for decision in TINY.decisions}
    assert derive(TINY, log_probability, [goal]) == derive(TINY, log_probability, ())


KEPT = ("max_pool_3x3", "sep_conv_5x5")


def kept_in_a_cell(kind: str) -> list[dict[str, str]]:
    """Every cell of TINY of two operations."""
    return [
        dict(zip((f"{kind}.0-2", f"{kind}.1-2", *edges), operations, strict=True))
        for edges in combinations([f"{kind}.{state}-3" for state in range(3)], 2)
        for operations in product(KEPT, repeat=4)
    ]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), share=st.floats(0, 1))
def test_under_a_budget_it_is_the_best_of_all_edges_and_operations(
    seed: int, share: float, make_table: MakeTable
) -> None:
    cost_ms = dict(
        zip(TINY.op_specs(), torch.rand(len(TINY.op_specs()), generator=generator(seed)).tolist(), strict=True)
    )
    table = make_table(TINY, lambda op: 0.01 + cost_ms[op])
    log_probability = random_log_probability(TINY, seed)
    for row in log_probability.values():  # few enough networks are left to look at them all
        row |= {label: -1e4 for label in row if label not in {NONE, *KEPT}}
    added_ms = {
        (decision.name, label): sum(map(table.op_ms, ops))
        for decision in TINY.decisions
        for label, ops in zip(decision.labels, decision.ops, strict=True)
    }
    halves = [
        [
            (
                sum(log_probability[name][label] for name, label in kept.items()),
                sum(map(added_ms.__getitem__, kept.items())),
            )
            for kept in kept_in_a_cell(kind)
        ]
        for kind in ("normal", "reduce")
    ]
    networks = [
        (one[0] + other[0], table.network_ms(TINY.fixed) + one[1] + other[1]) for one, other in product(*halves)
    ]
    fastest_ms, slowest_ms = (choose(ms for _, ms in networks) for choose in (min, max))
    goal = Goal(table=table, budget_ms=fastest_ms + share * (slowest_ms - fastest_ms))
    found = derive(TINY, log_probability, [goal])
    best = max(score for score, ms in networks if ms <= goal.budget_ms * (1 + 1e-9))
    assert goal.is_met_by(found)
    assert sum(log_probability[name][label] for name, label in found.kept.items()) == pytest.approx(best, abs=1e-5)


def test_reach_is_that_of_the_extremes_within_the_rules(make_table: MakeTable) -> None:
    table = make_table(TINY)
    reach = Reach.of(TINY, table)
    rng = Random(0)
    drawn = [table.network_ms(Architecture.random(TINY, rng).ops()) for _ in range(200)]
    assert reach.fastest_ms <= min(drawn) * (1 + 1e-9) and max(drawn) <= reach.slowest_ms * (1 + 1e-9)
    favourites = {d.name: {label: float(label == "sep_conv_5x5") for label in d.labels} for d in TINY.decisions}
    assert table.network_ms(derive(TINY, favourites, ()).ops()) == pytest.approx(reach.slowest_ms)


def test_networks_to_be_measured_keep_to_the_rules_and_differ() -> None:
    networks = Workload.of(TINY, networks=8).missing(None).networks
    assert len({*networks}) == 8
    assert len({network_name(network) for network in networks}) == 8


def in_a_table(network: Architecture) -> MeasuredNetwork:
    ops = tuple(op for op in network.ops() if not op.free)
    return MeasuredNetwork(name=network_name(network), ops=ops, measured_ms=1.0, spread=0.0)


def test_networks_of_a_table_are_put_together_again_where_their_space_tells_how() -> None:
    chains = parse_space("mbconv-8")
    cells, chain = (Architecture.random(space, Random(1)) for space in (TINY, chains))
    told = [in_a_table(cells), in_a_table(chain)]
    assert rebuilt(told, TINY)[0].graph == cells.graph()
    assert [each.name for each in rebuilt(told, TINY)] == [network.name for network in told]
    assert [each.graph for each in rebuilt(told, chains)] == [chain.graph()]  # of the cells only their sum is known
