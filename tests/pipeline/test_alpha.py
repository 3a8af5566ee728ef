from __future__ import annotations

import math

import pytest
import torch

from pipeline.alpha import Alpha
from pipeline.data.seeding import generator
from pipeline.space import Chain, Layer, SearchSpace, SpaceError
from profilers.op_spec import OpSpec
from profilers.operations import Classifier
from profilers.shape import Shape


@pytest.fixture
def alpha(space: SearchSpace) -> Alpha:
    return Alpha.initial(space, generator(0, "alpha"))


def test_alpha_begins_near_uniform_and_the_same_for_one_seed(space: SearchSpace, alpha: Alpha) -> None:
    assert alpha.values.requires_grad
    assert alpha.values.detach().abs().max() < 5e-3
    assert torch.equal(alpha.values, Alpha.initial(space, generator(0, "alpha")).values)
    assert not torch.equal(alpha.values, Alpha.initial(space, generator(1, "alpha")).values)


def test_a_candidate_that_does_not_exist_has_no_probability(alpha: Alpha) -> None:
    assert alpha.exists.tolist() == [[True, True, False], [True, True, True], [True, True, False]]
    probability = alpha.probability()
    assert torch.equal(probability == 0, ~alpha.exists)
    assert torch.allclose(probability.sum(1), torch.ones(3))


def test_log_probabilities_are_told_by_layer_and_label(space: SearchSpace, alpha: Alpha) -> None:
    with torch.no_grad():
        alpha.values[1] = torch.tensor([0.5, -0.2, 0.1])
    told = alpha.log_probability()
    assert {name: tuple(row) for name, row in told.items()} == {layer.name: layer.labels for layer in space.decisions}
    assert [math.exp(value) for value in told["stage1.block2"].values()] == pytest.approx(
        [0.461488, 0.229168, 0.309344], abs=1e-6
    )


def test_large_alphas_keep_finite_log_probabilities(alpha: Alpha) -> None:
    with torch.no_grad():
        alpha.values[:, 0] = 1e4
    told = [value for row in alpha.log_probability().values() for value in row.values()]
    assert all(-2e4 < value <= 0 for value in told)


def test_a_space_that_leaves_nothing_open_cannot_be_searched() -> None:
    space = Chain("fixed", (Layer("classifier", (OpSpec(Classifier(2), Shape(4, 4, 2)),)),))
    with pytest.raises(SpaceError, match="nothing to search"):
        Alpha.initial(space, generator(0))
