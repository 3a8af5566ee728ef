"""Binary gates and the two-path rescale against numbers that were worked out by hand (arXiv:1812.00332)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from latency_tables.expected import SupernetCost
from pipeline.alpha import Alpha
from pipeline.data.seeding import generator
from pipeline.gates import GateSample, Paths, rescale, sample_gates, sample_path
from pipeline.space import Chain, Layer, SearchSpace
from pipeline.supernet import Gates
from profilers.op_spec import OpSpec
from profilers.operations import Conv, Identity
from profilers.shape import Shape

FACTORS = (1.0, 2.0, 4.0)
ALPHAS = (0.5, -0.2, 0.1)
ALPHA_ROWS = st.lists(st.floats(-30, 30), min_size=2, max_size=6)


class Scale(nn.Module):
    """A candidate that multiplies by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def layer_of(count: int) -> SearchSpace:
    """One decision of `count` candidates, the last of which leaves the layer out."""
    shape = Shape(2, 2, 3)
    convolutions = [OpSpec(Conv(3, kernel=2 * k + 1), shape) for k in range(count - 1)]
    return Chain("one", (Layer("layer", (*convolutions, OpSpec(Identity(), shape))),))


def alpha_of(*values: float) -> Alpha:
    row = torch.tensor([values], dtype=torch.float64).requires_grad_()
    return Alpha(layer_of(len(values)), row, torch.ones(1, len(values), dtype=torch.bool))


def full_sample(alpha: Alpha, active: int) -> GateSample:
    return replace(sample_gates(alpha, "full", generator(0)), active=torch.tensor([active]))


def gradient(sample: GateSample, alpha: Alpha, power: int = 1) -> list[float]:
    """dL/dalpha of L = (gated sum of FACTORS) ** power."""
    x = torch.ones(1, 1, 1, 1, dtype=torch.float64).requires_grad_()
    (gates,) = sample.gates()
    output = gates.apply(nn.ModuleList(map(Scale, FACTORS)), [x] * len(FACTORS))
    (found,) = torch.autograd.grad(output.sum() ** power, [alpha.values])
    return found[0].tolist()


@pytest.mark.parametrize("active", range(3))
def test_a_loss_linear_in_the_gates_gets_its_exact_gradient_from_every_sample(active: int) -> None:
    alpha = alpha_of(*ALPHAS)
    exact = [-0.534034, -0.036025, 0.570060]
    assert gradient(full_sample(alpha, active), alpha) == pytest.approx(exact, abs=1e-6)


def test_a_square_loss_gets_the_gradient_at_its_active_candidate_and_so_the_known_bias() -> None:
    alpha = alpha_of(*ALPHAS)
    probability = alpha.probability()[0].tolist()
    each = [gradient(full_sample(alpha, active), alpha, power=2) for active in range(3)]
    mean = [sum(p * row[i] for p, row in zip(probability, each, strict=True)) for i in range(3)]
    assert mean == pytest.approx([-2.304038, -0.155428, 2.459466], abs=1e-6)
    assert mean != pytest.approx([-2.458654, -0.533427, 2.992081], abs=1e-2)  # the gradient of the expected loss


@pytest.mark.parametrize("active", range(3))
def test_a_gate_gradient_is_the_sum_of_its_output_times_the_gradient_there(active: int) -> None:
    torch.manual_seed(0)
    modules = nn.ModuleList([nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1), nn.Identity()]).double()
    x, head = torch.randn(4, 2, 5, 5, dtype=torch.float64), torch.randn(2, 2, 5, 5, dtype=torch.float64)
    values = nn.functional.one_hot(torch.tensor(active), 3).double().requires_grad_()
    weighted = sum(value * module(x) for value, module in zip(values, modules, strict=True))
    gated = Gates((0, 1, 2), active, values).apply(modules, [x.requires_grad_()] * 3)
    assert torch.equal(gated, modules[active](x))
    losses = [nn.functional.conv2d(output, head).tanh().square().sum() for output in (weighted, gated)]
    expected, found = (torch.autograd.grad(loss, [values], retain_graph=True)[0] for loss in losses)
    assert torch.allclose(found, expected, rtol=1e-12)


def test_gates_in_another_order_address_the_candidates_they_name() -> None:
    modules = nn.ModuleList(map(Scale, FACTORS))
    values = torch.tensor([0.0, 1.0]).requires_grad_()
    output = Gates((2, 0), 1, values).apply(modules, [torch.ones(1, 1, 1, 1).requires_grad_()] * 3)
    assert output.item() == FACTORS[0]
    assert torch.autograd.grad(output.sum(), [values])[0].tolist() == [FACTORS[2], FACTORS[0]]


def test_two_paths_pass_on_the_gradient_of_the_softmax_between_them() -> None:
    alpha = alpha_of(*ALPHAS)
    sample = sample_gates(alpha, "two", generator(0))
    pair = sample.candidates[0].tolist()
    share = torch.tensor([ALPHAS[i] for i in pair]).softmax(0).tolist()
    mean = sum(q * FACTORS[i] for q, i in zip(share, pair, strict=True))
    expected = [0.0, 0.0, 0.0]
    for q, i in zip(share, pair, strict=True):
        expected[i] = q * (FACTORS[i] - mean)
    assert gradient(sample, alpha) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("paths", ["two", "full"])
def test_paths_are_drawn_from_the_probabilities(paths: Paths) -> None:
    alpha = alpha_of(*ALPHAS)
    samples = [sample_gates(alpha, paths, generator(i)) for i in range(2000)]
    drawn = [int(sample.candidates[0, sample.active[0]]) for sample in samples]
    shares = [drawn.count(k) / len(drawn) for k in range(3)]
    if paths == "full":
        assert shares == pytest.approx(alpha.probability()[0].tolist(), abs=0.04)
    assert {tuple(sorted(s.candidates[0].tolist())) for s in samples} == (
        {(0, 1, 2)} if paths == "full" else {(0, 1), (0, 2), (1, 2)}
    )


def test_a_sampled_path_has_one_candidate_that_exists_per_decision(space: SearchSpace) -> None:
    alpha = Alpha.initial(space, generator(0))
    sizes = [len(layer.labels) for layer in space.decisions]
    paths = [sample_path(alpha.probability(), generator(seed)) for seed in range(50)]
    assert {tuple(path) for path in paths} <= {(a, b, c) for a in range(2) for b in range(3) for c in range(2)}
    assert [max(column) + 1 for column in zip(*paths, strict=True)] == sizes


@pytest.mark.parametrize("paths", ["two", "full"])
def test_gates_are_only_those_of_candidates_that_exist(paths: Paths, space: SearchSpace) -> None:
    alpha = Alpha.initial(space, generator(0))
    for seed in range(20):
        gates = sample_gates(alpha, paths, generator(seed)).gates()
        for gate, layer in zip(gates, space.decisions, strict=True):
            assert len(gate.candidates) == len(gate.values) == (2 if paths == "two" else len(layer.labels))
            assert max(gate.candidates) < len(layer.labels)
            assert gate.values.detach().round().tolist() == [float(i == gate.active) for i in range(len(gate.values))]


def test_one_overwhelming_alpha_leaves_a_pair_of_candidates_that_exist(space: SearchSpace) -> None:
    alpha = Alpha.initial(space, generator(0))
    with torch.no_grad():
        alpha.values[:, 0] = 1e4
    for seed in range(20):
        sample = sample_gates(alpha, "two", generator(seed))
        assert alpha.exists.gather(1, sample.candidates).all()
        assert sample.share.isfinite().all() and sample.probability.isfinite().all()


def test_the_rescale_gives_the_reference_numbers() -> None:
    before = torch.tensor([[0.5, -0.2, 0.1, 0.3]], dtype=torch.float64)
    after = before + torch.tensor([[0.05, 0.0, -0.02, 0.0]])
    found = rescale(after, before, torch.tensor([[0, 2]]))
    assert found[0].tolist() == pytest.approx([0.527506, -0.2, 0.057506, 0.3], abs=1e-6)
    assert found.softmax(1)[0].tolist() == pytest.approx([0.344278, 0.166325, 0.215174, 0.274223], abs=1e-6)
    assert float((after - found)[0, 0]) == pytest.approx(0.0224940, abs=1e-6)


@given(row=ALPHA_ROWS, steps=st.tuples(st.floats(-3, 3), st.floats(-3, 3)), data=st.data())
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_a_rescale_moves_probability_only_within_the_pair(
    dtype: torch.dtype, tolerance: float, row: list[float], steps: tuple[float, float], data: st.DataObject
) -> None:
    pair = data.draw(st.permutations(range(len(row))))[:2]
    before = torch.tensor([row], dtype=dtype)
    after = before.index_add(1, torch.tensor(pair), torch.tensor([steps], dtype=dtype))
    old, new = (each.softmax(1)[0] for each in (before, rescale(after, before, torch.tensor([pair]))))
    others = [i for i in range(len(row)) if i not in pair]
    assert new[others].tolist() == pytest.approx(old[others].tolist(), abs=tolerance)
    assert float(new[pair].sum()) == pytest.approx(float(old[pair].sum()), abs=tolerance)
    assert float(new.sum()) == pytest.approx(1, abs=tolerance)


@pytest.mark.parametrize("size", [100.0, 1e4, -1e4])
def test_large_alphas_do_not_overflow_in_a_rescale(size: float) -> None:
    before = torch.tensor([[size, size - 1, 0.0]])
    found = rescale(before + torch.tensor([[0.1, 0.0, 0.0]]), before, torch.tensor([[0, 1]]))
    assert found.isfinite().all()
    assert float(found.softmax(1)[0, 2]) == pytest.approx(float(before.softmax(1)[0, 2]), abs=1e-6)


def test_a_step_of_the_optimizer_moves_only_the_pair_that_took_part() -> None:
    alpha = alpha_of(0.5, -0.2, 0.1, 0.3)
    optimizer = torch.optim.Adam([alpha.values], lr=0.1, betas=(0.0, 0.999))
    for step in range(10):
        before = alpha.values.detach().clone()
        sample = sample_gates(alpha, "two", generator(step))
        (sample.share * torch.tensor([1.0, -1.0])).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            alpha.values.copy_(rescale(alpha.values, before, sample.candidates))
        others = [i for i in range(4) if i not in sample.candidates[0].tolist()]
        moved = alpha.values.detach() != before
        assert moved[0, sample.candidates[0]].all() and not moved[0, others].any()
        old, new = before.softmax(1)[0, others], alpha.probability()[0, others]
        assert new.tolist() == pytest.approx(old.tolist(), abs=1e-12)


@pytest.mark.parametrize("paths", ["two", "full"])
def test_latency_keeps_its_gradient_when_the_active_candidate_leaves_the_layer_out(paths: Paths) -> None:
    alpha = alpha_of(0.0, 0.0, 0.0)
    cost = SupernetCost(fixed_ms=1.0, cost_ms=torch.tensor([[3.0, 5.0, 0.0]], dtype=torch.float64))
    samples = (sample_gates(alpha, paths, generator(seed)) for seed in range(100))
    sample = next(each for each in samples if each.candidates[0, each.active[0]] == 2)
    (found,) = torch.autograd.grad(cost.expected_ms(sample.probability), [alpha.values])
    assert found[0, 2].item() < 0  # more of it means a faster network
    assert all(found[0, sample.candidates[0]] != 0)


def test_the_latency_seen_through_a_pair_is_that_of_the_whole_distribution() -> None:
    alpha = alpha_of(*ALPHAS)
    cost = SupernetCost(fixed_ms=1.0, cost_ms=torch.tensor([[3.0, 5.0, 0.0]], dtype=torch.float64))
    expected_ms = cost.expected_ms(alpha.probability()).item()
    for seed in range(10):
        sample = sample_gates(alpha, "two", generator(seed))
        assert cost.expected_ms(sample.probability).item() == pytest.approx(expected_ms)
