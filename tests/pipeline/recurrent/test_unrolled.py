"""Oracle: with quadratic losses the finite difference is exact."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pipeline.recurrent.unrolled import unrolled_gradient


def gradient_of(rate: float, *, weight_decay: float = 0.0, gradient_norm: float = math.inf) -> tuple[float, Tensor]:
    """L_train = (w - a)^2 / 2, L_val = (w - 1)^2 / 2 at w = 0.3, a = 0.7."""
    w = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    a = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    found = unrolled_gradient(
        lambda: (w - a) ** 2 / 2,
        lambda: (w - 1) ** 2 / 2 + 0 * a,
        [w],
        a,
        rate=rate,
        weight_decay=weight_decay,
        gradient_norm=gradient_norm,
    )
    return float(found), w


def test_the_gradient_looks_one_step_ahead() -> None:
    found, w = gradient_of(0.1)
    assert found == pytest.approx(-0.066, abs=1e-7)
    assert float(w.detach()) == 0.3


def test_weight_decay_belongs_to_the_step() -> None:
    found, _ = gradient_of(0.1, weight_decay=0.5)
    assert found == pytest.approx(0.1 * (0.3 - 0.1 * (-0.4 + 0.15) - 1), abs=1e-7)


def test_what_is_cut_from_the_first_gradient_is_cut_from_the_implicit_term() -> None:
    found, _ = gradient_of(0.1, gradient_norm=0.1)
    assert found == pytest.approx(0.1 * 0.25 * -0.1, rel=1e-4)  # a quarter of the first is left; -0.1 of the second


def test_the_paper_s_example_moves_towards_its_optimum() -> None:
    w = torch.tensor(-2.0, dtype=torch.float64, requires_grad=True)
    a = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    found = unrolled_gradient(
        lambda: w**2 - 2 * a * w + a**2,
        lambda: a * w - 2 * a + 1,
        [w],
        a,
        rate=0.1,
        weight_decay=0.0,
        gradient_norm=math.inf,
    )
    after = -2 - 0.1 * (2 * -2 - 2 * 2)
    assert float(found) == pytest.approx(after - 2 + 2 * 0.1 * 2, abs=1e-6)
