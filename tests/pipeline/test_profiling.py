from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.architecture import Architecture
from pipeline.profiling import Workload, compile_job, example_for, journal_of, network_name, spread_architectures
from pipeline.space import SearchSpace
from pipeline.spaces import SPACES, parse_space
from profilers.op_spec import OpSpec

EXTRA = OpSpec.parse("classifier in=1x1x8 out=2")


@given(name=st.sampled_from(sorted(SPACES)), seed=st.integers(0, 99))
def test_networks_are_spread_from_small_to_large(name: str, seed: int) -> None:
    space = parse_space(name)
    macs = [network.macs for network in spread_architectures(space, 8, seed)]
    smallest, largest = (sum(pick(op.macs for op in layer.candidates) for layer in space.layers) for pick in (min, max))
    assert macs == sorted(macs)
    assert (macs[0], macs[-1]) == (smallest, largest)


def test_the_same_networks_are_spread_every_time(space: SearchSpace) -> None:
    large = parse_space("mbconv-28")
    assert spread_architectures(large, 5) == spread_architectures(large, 5)
    assert spread_architectures(large, 5, seed=0) != spread_architectures(large, 5, seed=1)
    assert len(set(spread_architectures(space, 50))) == len(spread_architectures(space, 50)) <= space.size


def test_no_network_is_spread_where_none_is_asked_for(space: SearchSpace) -> None:
    assert spread_architectures(space, 0) == ()
    assert len(spread_architectures(space, 1)) == 1


def test_a_workload_holds_every_operation_once_and_nothing_that_is_free(space: SearchSpace) -> None:
    workload = Workload.of(space, networks=2, extra_ops=[EXTRA, space.op_specs()[0]])
    assert workload.ops == (*space.op_specs(), EXTRA)
    assert not any(op.free for op in workload.ops)
    assert len(workload.networks) == 2


def test_everything_is_measured_under_a_name_of_its_own(space: SearchSpace) -> None:
    networks = (Architecture(space, (0, 0, 0)), Architecture(space, (1, 2, 1)))
    chains = Workload(ops=(EXTRA,), networks=networks).chains()
    assert chains == {str(EXTRA): (EXTRA,)} | {network_name(net): net.ops() for net in networks}
    assert network_name(networks[1]) == "network k3e2 identity k3e2"


def test_one_chain_compiled_twice_is_one_job_in_the_cache(space: SearchSpace) -> None:
    ops = Architecture(space, (0, 1, 0)).ops()
    assert compile_job(ops, "onnxruntime").key() == compile_job(ops, "onnxruntime").key()
    assert compile_job(ops, "onnxruntime").key() != compile_job(ops[1:], "onnxruntime").key()
    assert tuple(example_for(ops).shape) == (1, 1, 8, 8)


def test_the_journal_lies_beside_its_table() -> None:
    assert journal_of(Path("tables/phone.yaml")) == Path("tables/phone.measurements.jsonl")
