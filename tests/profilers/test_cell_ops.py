from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from profilers.op_spec import OpSpec


def image(text: str) -> Tensor:
    height, width, channels = OpSpec.parse(text).in_shape
    return torch.randn(2, channels, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("kernel", "affine"), [(3, 4), (5, 4)])
def test_a_separable_convolution_has_the_published_number_of_weights(kernel: int, affine: int) -> None:
    channels = 36
    spec = OpSpec.parse(f"sepconv in=32x32x{channels} out={channels} kernel={kernel}")
    assert spec.params == 2 * (kernel**2 * channels + channels**2) + affine * channels


def test_a_dilated_convolution_has_the_published_number_of_weights() -> None:
    assert OpSpec.parse("dilconv in=32x32x36 out=36 kernel=5").params == 25 * 36 + 36**2 + 2 * 36


@torch.no_grad()
def test_a_dilated_convolution_sees_every_other_pixel() -> None:
    text = "dilconv in=9x9x1 out=1 kernel=5"
    module = OpSpec.parse(text).module().eval()
    x = torch.zeros(1, 1, 9, 9)
    x[0, 0, 4, 4] = 1.0
    reached = (module(x)[0, 0] != 0).nonzero().flatten().tolist()
    assert set(reached) == {0, 2, 4, 6, 8}


@torch.no_grad()
def test_the_mean_of_a_window_leaves_out_what_lies_beyond_the_image() -> None:
    text = "avgpool in=4x4x2"
    ones = torch.ones(1, 2, 4, 4)
    torch.testing.assert_close(OpSpec.parse(text).module()(ones), ones)
    assert avg_pool2d(ones, 3, 1, 1)[0, 0, 0, 0] < 1


@pytest.mark.parametrize("size", ["8x8", "7x7", "7x8", "1x1"])
@torch.no_grad()
def test_halving_reads_even_pixels_and_odd_ones(size: str) -> None:
    text = f"reduce in={size}x3 out=4"
    module, x = OpSpec.parse(text).module().eval(), image(text)
    positive = torch.nn.functional.pad(x.relu(), (0, 1, 0, 1))
    height, width, _ = OpSpec.parse(text).in_shape
    even = module.even[0].weight[:, :, 0, 0]  # type: ignore[index, union-attr]
    odd = module.odd[0].weight[:, :, 0, 0]  # type: ignore[index, union-attr]
    expected = torch.cat(
        [
            torch.einsum("oc,nchw->nohw", even, positive[:, :, 0:height:2, 0:width:2]),
            torch.einsum("oc,nchw->nohw", odd, positive[:, :, 1 : height + 1 : 2, 1 : width + 1 : 2]),
        ],
        1,
    )
    torch.testing.assert_close(module(x), expected / (1 + 1e-5) ** 0.5)


@torch.no_grad()
def test_nothing_that_an_operation_reads_is_changed() -> None:
    for text in (
        "sepconv in=8x8x4 out=4",
        "reluconv in=8x8x4 out=4",
        "reduce in=8x8x4 out=4",
        "dilconv in=8x8x4 out=4",
    ):
        x = image(text)
        before = x.clone()
        OpSpec.parse(text).module().train()(x)
        torch.testing.assert_close(x, before, rtol=0, atol=0)
