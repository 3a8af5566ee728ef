from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from latency_tables.expected import supernet_cost
from pipeline.alpha import Alpha
from pipeline.architecture import Architecture
from pipeline.data.seeding import generator
from pipeline.gates import Paths, sample_gates
from pipeline.space import SearchSpace
from pipeline.supernet import Gates, Supernet, frozen_statistics

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

CHOICES = st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 1))


@pytest.fixture(scope="module")
def images() -> Tensor:
    """Noise, [N, C, H, W]."""
    return torch.randn(6, 1, 8, 8, generator=generator(0))


def tracked(space: SearchSpace, images: Tensor) -> Supernet:
    """A supernet with batch statistics that are not the initial ones, other ones for each candidate."""
    torch.manual_seed(0)
    supernet = Supernet(space)
    for choices in ((0, 0, 0), (1, 1, 1), (0, 2, 1), (1, 2, 0)):
        supernet(images, choices)
    return supernet


@pytest.fixture
def supernet(space: SearchSpace, images: Tensor) -> Supernet:
    return tracked(space, images)


@pytest.fixture(scope="module")
def evaluated(space: SearchSpace, images: Tensor) -> Supernet:
    return tracked(space, images).eval()


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def saved_bytes(run: Callable[[], Tensor]) -> int:
    """Bytes kept for backward, each storage once."""
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = run()
    assert output.requires_grad
    return sum(kept.values())


def full_gates(alpha: Alpha, choices: Sequence[int]) -> list[Gates]:
    gates = sample_gates(alpha, "full", generator(0)).gates()
    return [Gates(gate.candidates, choice, gate.values) for gate, choice in zip(gates, choices, strict=True)]


@given(choices=CHOICES)
def test_one_path_gives_what_the_derived_network_gives(choices: tuple[int, ...], evaluated: Supernet) -> None:
    images = torch.randn(3, 1, 8, 8, generator=generator(1))
    derived = evaluated.derived(Architecture(evaluated.space, choices)).eval()
    assert torch.equal(derived(images), evaluated(images, choices))


def test_a_derived_network_has_weights_of_its_own(supernet: Supernet) -> None:
    before = state(supernet)
    derived = supernet.derived(Architecture(supernet.space, (0, 0, 0)))
    for parameter in derived.parameters():
        parameter.data.zero_()
    assert same(state(supernet), before)


@given(choices=CHOICES)
def test_the_gated_network_gives_what_its_active_path_gives(
    choices: tuple[int, ...], evaluated: Supernet, space: SearchSpace
) -> None:
    images = torch.randn(3, 1, 8, 8, generator=generator(1))
    gates = full_gates(Alpha.initial(space, generator(0)), choices)
    assert torch.equal(evaluated.forward_gated(images, gates), evaluated(images, choices))


def test_gate_gradients_are_those_of_a_weighted_sum_of_the_candidates(supernet: Supernet, images: Tensor) -> None:
    alpha = Alpha.initial(supernet.space, generator(0))
    choices = (1, 0, 1)
    gates = full_gates(alpha, choices)
    weights = [torch.eye(len(gate.candidates))[gate.active].requires_grad_() for gate in gates]
    supernet.double().eval()
    x = images.double()
    open_layers = iter(weights)
    for candidates in supernet.layers:
        assert isinstance(candidates, nn.ModuleList)
        outputs = torch.stack([module(x) for module in candidates])
        x = torch.tensordot(next(open_layers).double(), outputs, 1) if len(candidates) > 1 else outputs[0]
    gated = supernet.forward_gated(images.double(), gates)
    assert torch.allclose(gated, x)
    expected = torch.autograd.grad(x.logsumexp(1).sum(), weights)
    found = torch.autograd.grad(gated.logsumexp(1).sum(), [gate.values for gate in gates])
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("paths", ["two", "full"])
def test_an_architecture_step_leaves_weights_and_batch_statistics_to_the_bit(
    paths: Paths, supernet: Supernet, images: Tensor
) -> None:
    alpha = Alpha.initial(supernet.space, generator(0))
    before = state(supernet)
    for seed in range(4):
        sample = sample_gates(alpha, paths, generator(seed))
        with frozen_statistics(supernet):
            logits = supernet.forward_gated(images, sample.gates())
            (found,) = torch.autograd.grad(logits.logsumexp(1).sum(), [alpha.values])
        assert found.isfinite().all() and found.abs().sum() > 0
    assert same(state(supernet), before)
    assert all(parameter.grad is None for parameter in supernet.parameters())


def test_statistics_are_tracked_again_even_after_a_failure(supernet: Supernet, images: Tensor) -> None:
    with pytest.raises(ValueError, match="broken"), frozen_statistics(supernet):
        raise ValueError("broken")
    before = state(supernet)
    supernet(images, (0, 0, 0))
    assert not same(state(supernet), before)


def test_a_path_leaves_the_statistics_of_its_rivals_alone(supernet: Supernet, images: Tensor) -> None:
    before = state(supernet)
    supernet(images, (0, 2, 1))
    after = state(supernet)
    moved = {tuple(name.split(".")[1:3]) for name in after if not torch.equal(after[name], before[name])}
    assert moved == {("0", "0"), ("1", "0"), ("2", "0"), ("4", "1"), ("5", "0")}  # the identity of layer 3 has none


def test_rivals_are_not_kept_for_backward(supernet: Supernet, images: Tensor) -> None:
    alpha = Alpha.initial(supernet.space, generator(0))
    choices = (1, 1, 1)
    gates = full_gates(alpha, choices)
    x = images.clone().requires_grad_()
    plain = saved_bytes(lambda: supernet(x, choices))
    gated = saved_bytes(lambda: supernet.forward_gated(x, gates))
    outputs = 6 * (8 * 4 * 4 + 8 * 4 * 4 + 16 * 4 * 4) * 4  # the active candidates', fp32
    assert plain <= gated <= plain + outputs


def test_a_distribution_on_one_network_has_its_latency(
    space: SearchSpace, make_table: MakeTable, all_networks: Callable[[SearchSpace], list[Architecture]]
) -> None:
    table = make_table(space)
    cost = supernet_cost(table, space.fixed, [decision.ops for decision in space.decisions])
    alpha = Alpha.initial(space, generator(0))
    for network in all_networks(space):
        with torch.no_grad():
            alpha.values.zero_()
            alpha.values[torch.arange(3), torch.tensor(network.choices)] = 200.0
        expected_ms = cost.expected_ms(alpha.probability()).item()
        assert expected_ms == pytest.approx(table.network_ms(network.ops()), rel=1e-6)
