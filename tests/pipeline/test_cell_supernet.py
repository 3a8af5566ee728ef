from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.architecture import Architecture
from pipeline.cell_supernet import CellSupernet
from pipeline.cell_supernet.cell import Cell
from pipeline.cells import CellFrame
from pipeline.darts_space import LABELS, DartsCells
from pipeline.space import SearchSpace, SpaceError
from pipeline.spaces import parse_space
from pipeline.supernet import frozen_statistics
from profilers.shape import Shape
from tests.pipeline.plain_cell_supernet import PlainCellSupernet, copy_weights

EDGES = 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A small supernet, both ways, of the same weights, and what it is given."""

    plain: PlainCellSupernet
    fast: CellSupernet
    images: Tensor
    labels: Tensor
    mix: list[Tensor]
    edge_weights: Tensor | None

    def run(self, net: PlainCellSupernet | CellSupernet) -> Tensor:
        return net.forward_mixed(self.images, self.mix, self.edge_weights)


def case(*, size: int = 16, partial: int = 1, dtype: torch.dtype = torch.float64) -> Case:
    torch.manual_seed(0)
    filters = 4 * partial
    plain = PlainCellSupernet(filters, 3, 5, partial=partial).to(dtype)
    fast = CellSupernet(CellFrame(Shape(size, size, 3), filters, 3, 5), partial=partial).to(dtype)
    copy_weights(plain, fast)
    return Case(
        plain=plain,
        fast=fast,
        images=torch.randn(4, 3, size, size, dtype=dtype),
        labels=torch.arange(4),
        mix=[row.to(dtype).requires_grad_() for row in torch.randn(EDGES, len(LABELS)).softmax(1)],
        edge_weights=torch.rand(EDGES, dtype=dtype).requires_grad_() if partial > 1 else None,
    )


def gradients(at: Case, net: PlainCellSupernet | CellSupernet) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Of what mixes, and of the weights by name."""
    mixing = [*at.mix, *([] if at.edge_weights is None else [at.edge_weights])]
    weights = dict(net.named_parameters())
    loss = cross_entropy(at.run(net), at.labels)
    found = torch.autograd.grad(loss, [*mixing, *weights.values()])
    return list(found[: len(mixing)]), dict(zip(weights, found[len(mixing) :], strict=True))


def assert_same_gradients(at: Case, tolerance: float) -> None:
    plain, plain_weights = gradients(at, at.plain)
    fast, fast_weights = gradients(at, at.fast)
    for parameter, gradient in zip(at.plain.parameters(), plain_weights.values(), strict=True):
        parameter.data = gradient
    copy_weights(at.plain, at.fast)  # the plain gradients where the fast ones have their places
    for name, parameter in at.fast.named_parameters():
        torch.testing.assert_close(fast_weights[name], parameter.detach(), rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(fast, plain, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("partial", "weights"), [(1, 1_930_618), (4, 299_578)])
def test_the_supernet_has_as_many_weights_as_the_published_logs_print(partial: int, weights: int) -> None:
    supernet = CellSupernet(CellFrame(Shape(32, 32, 3), 16, 8, 10), partial=partial)
    assert sum(parameter.numel() for parameter in supernet.parameters()) == weights


@pytest.mark.parametrize("partial", [1, 2, 4])
@pytest.mark.parametrize("size", [16, 14])  # 14 is halved to 7 and to 4
def test_the_supernet_computes_what_a_loop_over_its_candidates_does(size: int, partial: int) -> None:
    at = case(size=size, partial=partial)
    torch.testing.assert_close(at.run(at.fast), at.run(at.plain), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("partial", [1, 2])
@pytest.mark.parametrize("size", [16, 14])
def test_the_gradients_of_mixture_and_weights_are_those_of_the_loop(size: int, partial: int) -> None:
    assert_same_gradients(case(size=size, partial=partial), 1e-9)


def test_single_precision_is_as_good_as_that_of_the_loop() -> None:
    assert_same_gradients(case(dtype=torch.float32), 1e-4)


def test_evaluation_uses_the_running_statistics_of_training() -> None:
    at = case()
    with torch.no_grad():
        for net in (at.plain, at.fast):
            at.run(net)
            at.run(net)
        torch.testing.assert_close(at.run(at.fast.eval()), at.run(at.plain.eval()), rtol=1e-10, atol=1e-10)


def test_frozen_statistics_are_left_alone() -> None:
    at = case()
    before = {name: buffer.clone() for name, buffer in at.fast.named_buffers()}
    with frozen_statistics(at.fast):
        at.run(at.fast)
    assert all(torch.equal(buffer, before[name]) for name, buffer in at.fast.named_buffers())


def test_an_architecture_step_asks_for_no_gradient_of_a_weight() -> None:
    at = case()
    at.fast.requires_grad_(False)
    torch.autograd.backward(cross_entropy(at.run(at.fast), at.labels))
    assert all(parameter.grad is None for parameter in at.fast.parameters())
    assert all(row.grad is not None for row in at.mix)


def saved_bytes(run: Callable[[], Tensor]) -> int:
    """Bytes kept for backward, each storage once."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_less_than_a_third_is_kept_for_backward() -> None:
    at = case()
    assert saved_bytes(lambda: at.run(at.fast)) < saved_bytes(lambda: at.run(at.plain)) / 3


def test_one_part_of_the_channels_with_equal_edges_is_darts() -> None:
    at = case()
    weighted = at.fast.forward_mixed(at.images, at.mix, torch.ones(EDGES, dtype=torch.float64))
    assert torch.equal(weighted, at.run(at.fast))


def test_the_shuffle_after_partial_channels_is_that_of_the_paper() -> None:
    channels = torch.arange(16.0).view(1, 16, 1, 1)
    shuffled = nn.functional.channel_shuffle(channels, 4).flatten()
    assert all(shuffled[(c % 4) * 4 + c // 4] == c for c in range(16))


def test_channels_that_go_by_an_edge_are_those_of_the_state() -> None:
    at = case(partial=2)
    cell = at.fast.cells[0]
    assert isinstance(cell, Cell)
    x, mix = torch.randn(2, 24, 8, 8, dtype=torch.float64), torch.zeros(EDGES // 2, len(LABELS), dtype=torch.float64)
    first = cell(x, x, mix, torch.eye(EDGES // 2, dtype=torch.float64)[0])[:, :8]  # node 2 reads state 0 alone
    torch.testing.assert_close(first[:, 1::2], cell.before(x)[:, 4:])
    assert not first[:, ::2].any()


SPACE = "darts-cifar?resolution=16&classes=5&filters=4&layers=3"


def one_hot(architecture: Architecture) -> list[Tensor]:
    decided = zip(architecture.space.decisions, architecture.choices, strict=True)
    return [nn.functional.one_hot(torch.tensor(choice), len(decision.labels)).double() for decision, choice in decided]


@pytest.mark.parametrize("seed", range(4))
def test_a_derived_network_is_the_supernet_at_its_corner(seed: int) -> None:
    torch.manual_seed(seed)
    space = parse_space(SPACE)
    architecture = without_pools(space, Random(seed))
    supernet = CellSupernet.from_space(space).double()
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    corner = one_hot(architecture)
    with torch.no_grad():
        supernet.forward_mixed(images, corner)
        network = supernet.derived(architecture).double()
        for net in (supernet, network):
            net.eval()
        torch.testing.assert_close(network(images), supernet.forward_mixed(images, corner))


def without_pools(space: SearchSpace, rng: Random) -> Architecture:
    choices = space.random(rng)
    weighed = [LABELS.index(label) for label in LABELS if "pool" not in label]  # pools are not normalised in networks
    return Architecture(space, tuple(choice if choice in weighed else rng.choice(weighed[1:]) for choice in choices))


def test_a_stem_of_three_convolutions_halves_the_first_state_too() -> None:
    wiring = DartsCells(resolution=32, filters=4, layers=3, classes=5, stem_stride=8)
    supernet = CellSupernet(wiring.frame)
    mix = list(torch.full((EDGES, len(LABELS)), 1 / len(LABELS)))
    assert supernet.forward_mixed(torch.randn(2, 3, 32, 32), mix).shape == (2, 5)


def test_partial_channels_must_be_even() -> None:
    with pytest.raises(SpaceError, match="partial=3"):
        CellSupernet(CellFrame(Shape(32, 32, 3), 16, 8, 10), partial=3)


def test_weights_of_partial_channels_fit_no_network() -> None:
    space = parse_space(SPACE)
    with pytest.raises(SpaceError, match="fit no network"):
        CellSupernet.from_space(space, partial=2).derived(without_pools(space, Random(0)))


def test_a_space_of_other_cells_has_another_supernet() -> None:
    with pytest.raises(SpaceError, match="not DARTS"):
        CellSupernet.from_space(parse_space("mbconv-28"))
