"""Operations of NASNet's frame: closed-form costs against PyTorch's counts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from profilers.blocks import folded
from profilers.nasnet_ops import Oblong, Relu, ValidConv
from profilers.op_spec import OpSpec
from profilers.shape import Shape
from tests.profilers.test_costs import ElementsMoved

CHANNELS, SIZES, STRIDES = st.integers(1, 6), st.integers(7, 12), st.integers(1, 2)
KERNELS = st.sampled_from([1, 3, 7])
OPERATIONS = (
    st.builds(Oblong, CHANNELS, KERNELS, STRIDES, st.sampled_from(["row", "column"]))
    | st.builds(ValidConv, CHANNELS, KERNELS, STRIDES)
    | st.just(Relu())
)
SPECS = st.builds(OpSpec, OPERATIONS, st.builds(Shape, SIZES, SIZES, CHANNELS))


def image(spec: OpSpec) -> Tensor:
    height, width, channels = spec.in_shape
    return torch.rand(1, channels, height, width)


@given(SPECS)
def test_costs_are_what_pytorch_counts(spec: OpSpec) -> None:
    module = spec.module().eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        out = module(image(spec))
    assert out.shape == (1, spec.out_shape.channels, *spec.out_shape[:2])
    assert spec.macs * 2 == counter.get_total_flops()
    assert spec.params == sum(parameter.numel() for parameter in module.parameters())


@given(SPECS)
def test_elements_moved_are_those_of_the_folded_module(spec: OpSpec) -> None:
    module = folded(spec.module())
    with torch.no_grad(), ElementsMoved() as moved:
        module(image(spec))
    assert spec.cost.elements_moved == moved.elements


def test_a_convolution_without_padding_is_refused_on_an_image_smaller_than_its_kernel() -> None:
    with pytest.raises(ValueError, match="in=2x8x3 is smaller than the kernel of 3"):
        OpSpec.parse("validconv in=2x8x3 out=4").module()
