from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from profilers.blocks import ACTIVATIONS, build_chain, folded
from profilers.op_spec import OpSpec
from profilers.operations import Activation

TEXTS = [
    "conv in=9x9x3 out=8 kernel=3 stride=2",
    "conv in=8x8x4 out=8 act=none",
    "mbconv in=8x8x8 out=8 kernel=3 expand=3",
    "mbconv in=8x8x8 out=12 kernel=5 stride=2 expand=6 act=relu",
    "mbconv in=7x5x8 out=8 kernel=7 expand=1 act=hswish se=4",
    "classifier in=4x4x8 out=10",
    "pool in=4x3x8",
    "identity in=4x4x8",
    "zero in=5x5x8 stride=2",
    "reluconv in=8x8x4 out=8 kernel=3 stride=2",
    "sepconv in=8x8x4 out=8 kernel=5 stride=2",
    "dilconv in=8x8x4 out=8 stride=2",
    "conv7x1 in=8x8x4 out=8 stride=2",
    "reduce in=7x8x4 out=8",
    "avgpool in=7x8x4 stride=2",
]


def image(text: str, batch: int = 2) -> Tensor:
    height, width, channels = OpSpec.parse(text).in_shape
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0))


def trained(text: str) -> nn.Module:
    """The module with weights and statistics of batch normalisation as far from their start as training takes them."""
    generator = torch.Generator().manual_seed(1)
    module = OpSpec.parse(text).module().eval()
    for value in (*module.parameters(), *module.buffers()):
        if value.is_floating_point():
            value.data.uniform_(0.2, 1.5, generator=generator)
    return module


@pytest.mark.parametrize("text", TEXTS)
@torch.no_grad()
def test_folding_batch_normalisation_changes_no_output(text: str) -> None:
    module = trained(text)
    torch.testing.assert_close(folded(module)(image(text)), module(image(text)))


@pytest.mark.parametrize("text", TEXTS)
def test_folding_leaves_no_batch_normalisation_and_the_original_alone(text: str) -> None:
    module = trained(text).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert not any(isinstance(child, nn.BatchNorm2d) for child in folded(module).modules())
    assert module.training
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)


@torch.no_grad()
def test_a_whole_chain_is_folded() -> None:
    chain = build_chain(tuple(map(OpSpec.parse, ("conv in=8x8x3 out=8", "mbconv in=8x8x8 out=8 expand=3"))))
    x = image("conv in=8x8x3 out=8")
    torch.testing.assert_close(folded(chain)(x), chain.eval()(x))
    assert not any(isinstance(child, nn.BatchNorm2d) for child in folded(chain).modules())


@torch.no_grad()
def test_the_shortcut_adds_the_input() -> None:
    text = "mbconv in=8x8x8 out=8 expand=3"
    module = trained(text)
    module.body = nn.Identity()
    torch.testing.assert_close(module(image(text)), 2 * image(text))


@pytest.mark.parametrize("text", ["mbconv in=8x8x8 out=12", "mbconv in=8x8x8 out=8 stride=2"])
@torch.no_grad()
def test_there_is_no_shortcut_between_different_shapes(text: str) -> None:
    module = trained(text)
    torch.testing.assert_close(module(image(text)), module.body(image(text)))  # type: ignore[operator]


@torch.no_grad()
def test_identity_gives_its_input_and_zero_gives_zeros() -> None:
    x = image("identity in=5x5x8")
    assert OpSpec.parse("identity in=5x5x8").module()(x) is x
    torch.testing.assert_close(OpSpec.parse("zero in=5x5x8 stride=2").module()(x), torch.zeros(2, 8, 3, 3))


@torch.no_grad()
def test_a_pool_is_the_mean_over_the_image() -> None:
    x = image("pool in=7x5x8")
    torch.testing.assert_close(OpSpec.parse("pool in=7x5x8").module()(x), x.mean((2, 3), keepdim=True))


def test_a_chosen_identity_leaves_no_layer_in_the_chain() -> None:
    specs = tuple(map(OpSpec.parse, ("conv in=8x8x3 out=8", "identity in=8x8x8", "classifier in=8x8x8 out=10")))
    assert len(build_chain(specs)) == 2


def test_every_activation_has_a_module() -> None:
    assert {"none", *ACTIVATIONS} == set(get_args(Activation))
