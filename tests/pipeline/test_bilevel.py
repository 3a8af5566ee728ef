from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pipeline.bilevel import second_order
from pipeline.cell_supernet import CellSupernet
from pipeline.cells import CellFrame
from profilers.shape import Shape

Two = Callable[[Tensor, Tensor], Tensor]


class Scalar(nn.Module):
    """One weight w beside one alpha a."""

    def __init__(self, w: float, a: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))
        self.a = torch.tensor(a, dtype=torch.float64, requires_grad=True)

    def gradient(self, training: Two, validation: Two, buffer: float | None = None, **settings: Any) -> Tensor:
        optimizer = torch.optim.SGD([self.w], **settings)
        if buffer is not None:
            optimizer.state[self.w]["momentum_buffer"] = torch.tensor(buffer, dtype=torch.float64)
        losses = (lambda: training(self.a, self.w)), (lambda: validation(self.a, self.w))
        return second_order(self, [self.a], optimizer, *losses)[0]


def close(value: float) -> Any:
    return pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("xi", "optimum"), [(0.0, 2), (0.05, 1.81818), (0.1, 1.66667), (0.2, 1.42857), (0.3, 1.25), (0.5, 1)]
)
def test_steps_in_turn_end_where_the_paper_draws_them(xi: float, optimum: float) -> None:
    net = Scalar(-2, 2)
    for _ in range(150):
        gradient = net.gradient(lambda a, w: w**2 - 2 * a * w + a**2, lambda a, w: a * w - 2 * a + 1, lr=xi)
        with torch.no_grad():
            net.a.sub_(0.1 * gradient)
            net.w.sub_(0.25 * (2 * net.w - 2 * net.a))
    assert net.a.item() == pytest.approx(optimum, abs=1e-4) and net.w.item() == pytest.approx(optimum, abs=1e-4)


def training(a: Tensor, w: Tensor) -> Tensor:
    return (w - a) ** 2 / 2


def validation(_: Tensor, w: Tensor) -> Tensor:
    return (w - 1) ** 2 / 2


def test_a_quadratic_gives_its_exact_gradient() -> None:
    assert float(Scalar(0.3, 0.7).gradient(training, validation, lr=0.1)) == close(-0.066)


@pytest.mark.parametrize(
    ("settings", "velocity", "share"),
    [
        ({"momentum": 0.9}, 0.9 * 0.5 - 0.4 + 0.01 * 0.3, 1),
        ({"momentum": 0.9, "dampening": 0.2}, 0.9 * 0.5 + 0.8 * (-0.4 + 0.01 * 0.3), 0.8),
        ({"momentum": 0.9, "nesterov": True}, 1.9 * (-0.4 + 0.01 * 0.3) + 0.9 * 0.9 * 0.5, 1.9),
    ],
)
def test_momentum_and_decay_are_part_of_the_step(settings: dict[str, Any], velocity: float, share: float) -> None:
    gradient = Scalar(0.3, 0.7).gradient(training, validation, buffer=0.5, lr=0.1, weight_decay=0.01, **settings)
    after = 0.3 - 0.1 * velocity
    assert float(gradient) == close(0.1 * share * (after - 1))


def test_without_a_step_a_loss_that_does_not_depend_on_alpha_gives_no_gradient() -> None:
    assert float(Scalar(0.3, 0.7).gradient(training, validation, lr=0.0)) == 0


def test_a_step_that_alpha_does_not_change_adds_nothing() -> None:
    gradient = Scalar(0.3, 0.7).gradient(lambda a, w: w**2, lambda a, w: a * w, lr=0.1)
    assert float(gradient) == pytest.approx(0.3 - 0.1 * 0.6)


class Mixing(nn.Module):
    """Two hidden layers mixed by alpha, one of them normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.last = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)
        self.norm = nn.BatchNorm1d(4)
        self.double()

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        shares = alpha.softmax(0)
        mixed = shares[0] * self.one(x).tanh() + shares[1] * self.norm(self.other(x)).tanh()
        return self.last(mixed)  # type: ignore[no-any-return]


@pytest.fixture
def mixing() -> Mixing:
    torch.manual_seed(0)
    return Mixing()


@pytest.fixture
def batches() -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    return [(torch.randn(8, 3, dtype=torch.float64), torch.randint(0, 2, (8,))) for _ in range(2)]


def test_the_difference_is_near_the_derivative_of_the_derivative(
    mixing: Mixing, batches: list[tuple[Tensor, Tensor]]
) -> None:
    alpha = torch.tensor([0.3, -0.2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD(mixing.parameters(), lr=0.5)
    (train, labels), (validate, wanted) = batches
    (found,) = second_order(
        mixing,
        [alpha],
        optimizer,
        lambda: cross_entropy(mixing(train, alpha), labels),
        lambda: cross_entropy(mixing(validate, alpha), wanted),
    )
    weights = dict(mixing.named_parameters())
    loss = cross_entropy(mixing(train, alpha), labels)
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    after = {name: weight - 0.5 * each for (name, weight), each in zip(weights.items(), gradients, strict=True)}
    unrolled = cross_entropy(torch.func.functional_call(mixing, after, (validate, alpha)), wanted)
    (exact,) = torch.autograd.grad(unrolled, alpha)
    (direct,) = torch.autograd.grad(cross_entropy(mixing(validate, alpha), wanted), alpha)
    torch.testing.assert_close(found, exact, rtol=1e-4, atol=0)
    assert not torch.allclose(direct, exact, rtol=1e-2)


def everything(network: nn.Module, optimizer: torch.optim.SGD) -> list[Tensor]:
    """All that could have changed: weights, statistics, momentum, gradients."""
    weights = list(network.parameters())
    momentum = [optimizer.state[weight]["momentum_buffer"] for weight in weights]
    gradients = [torch.empty(0) if weight.grad is None else weight.grad for weight in weights]
    return [each.detach().clone() for each in (*weights, *network.buffers(), *momentum, *gradients)]


@pytest.fixture
def trained(mixing: Mixing, batches: list[tuple[Tensor, Tensor]]) -> tuple[Mixing, torch.optim.SGD, Tensor]:
    alpha = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD(mixing.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
    torch.autograd.backward(cross_entropy(mixing(batches[0][0], alpha), batches[0][1]))
    optimizer.step()
    return mixing, optimizer, alpha


def test_weights_statistics_and_momentum_are_restored_bit_for_bit(
    trained: tuple[Mixing, torch.optim.SGD, Tensor], batches: list[tuple[Tensor, Tensor]]
) -> None:
    mixing, optimizer, alpha = trained
    before = everything(mixing, optimizer)
    losses = [lambda x=x, y=y: cross_entropy(mixing(x, alpha), y) for x, y in batches]
    second_order(mixing, [alpha], optimizer, *losses)
    assert all(map(torch.equal, before, everything(mixing, optimizer)))
    assert all(weight.requires_grad for weight in mixing.parameters()) and alpha.requires_grad


def test_what_fails_half_way_leaves_no_trace(
    trained: tuple[Mixing, torch.optim.SGD, Tensor], batches: list[tuple[Tensor, Tensor]]
) -> None:
    mixing, optimizer, alpha = trained
    before = everything(mixing, optimizer)

    def interrupted() -> Tensor:
        raise KeyboardInterrupt

    (x, y), _ = batches
    with pytest.raises(KeyboardInterrupt):
        second_order(mixing, [alpha], optimizer, lambda: cross_entropy(mixing(x, alpha), y), interrupted)
    assert all(map(torch.equal, before, everything(mixing, optimizer)))


def test_a_supernet_of_cells_takes_it_too() -> None:
    torch.manual_seed(0)
    supernet = CellSupernet(CellFrame(Shape(8, 8, 1), 4, 3, 2)).double()
    alpha = torch.zeros(28, 8, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    images, labels = torch.randn(4, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 1, 0, 1])

    def loss() -> Tensor:
        return cross_entropy(supernet.forward_mixed(images, list(alpha.softmax(1))), labels)

    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    (gradient,) = second_order(supernet, [alpha], optimizer, loss, loss)
    assert gradient.shape == alpha.shape and gradient.isfinite().all()
    assert all(torch.equal(value, before[name]) for name, value in supernet.state_dict().items())
