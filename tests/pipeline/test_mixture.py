"""Draws of the concrete distribution against what is known of it (arXiv:1611.00712, 1611.01144)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pipeline.alpha import Alpha
from pipeline.data.seeding import generator
from pipeline.learned import Curve, temperature_at
from pipeline.mixture import relaxed_sample
from pipeline.search_settings import SearchSettings
from pipeline.space import SearchSpace

DRAWS = 4000


def draws(space: SearchSpace, values: Tensor, temperature: float) -> Tensor:
    """So many of them: [DRAWS, 3, 3]."""
    alpha = Alpha(space, values, Alpha.initial(space, generator(0)).exists)
    return torch.stack([relaxed_sample(alpha, temperature, generator(number)) for number in range(DRAWS)])


@pytest.mark.parametrize("temperature", [0.1, 1.0, 5.0])
def test_the_largest_share_falls_on_each_candidate_as_often_as_alpha_says(
    temperature: float, space: SearchSpace
) -> None:
    values = torch.tensor([[0.5, -0.2, 0.0], [0.5, -0.2, 0.1], [0.0, 0.0, 0.0]])
    found = draws(space, values, temperature)
    torch.testing.assert_close(found.sum(2), torch.ones(DRAWS, 3))
    assert (found[:, [0, 2], 2] == 0).all()  # candidates that there are not
    often = torch.nn.functional.one_hot(found[:, 1].argmax(1), 3).double().mean(0)
    assert often.tolist() == pytest.approx([0.461488, 0.229168, 0.309344], abs=0.03)


def test_samples_go_from_one_candidate_to_all_alike_with_the_temperature(space: SearchSpace) -> None:
    values = torch.zeros(3, 3)
    assert draws(space, values, 1e-4)[:, 1].max(1).values.mean() > 0.999
    torch.testing.assert_close(draws(space, values, 1e4)[:, 1], torch.full((DRAWS, 3), 1 / 3), atol=1e-2, rtol=0)


def test_two_equal_candidates_at_temperature_one_share_uniformly(space: SearchSpace) -> None:
    share = draws(space, torch.zeros(3, 3), 1.0)[:, 0, 0]
    assert float(share.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(share.var()) == pytest.approx(1 / 12, abs=0.005)


@pytest.mark.parametrize(
    ("strategy", "curve", "epoch", "expected"),
    [
        ("fbnet", "geometric", 0, 5.0),
        ("fbnet", "geometric", 45, 5 * 0.956**45),
        ("fbnet", "geometric", 90, 0.0871),
        ("snas", "linear", 0, 1.0),
        ("snas", "linear", 75, 0.515),
        ("snas", "linear", 150, 0.03),
    ],
)
def test_temperatures_fall_as_in_the_papers(strategy: str, curve: Curve, epoch: int, expected: float) -> None:
    settings = SearchSettings(strategy=strategy)
    assert temperature_at(epoch / settings.epochs, settings, curve) == pytest.approx(expected, abs=1e-4)
