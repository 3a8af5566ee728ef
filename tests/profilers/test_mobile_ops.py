"""Operations of mobile and residual networks: costs against what PyTorch counts, and what the modules compute."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from profilers.blocks import folded
from profilers.mobile_blocks import ChannelShuffle
from profilers.mobile_ops import GroupMBConv, Mix
from profilers.op_spec import OpSpec
from profilers.residual_ops import ResBlock
from profilers.shape import Shape
from tests.profilers.test_costs import ElementsMoved

SIZES = st.integers(1, 9)
PAIRS = st.sampled_from([2, 4, 6])  # channels that make two groups
GROUPED = st.builds(
    GroupMBConv,
    PAIRS,
    st.sampled_from([3, 5]),
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from(["always", "expanding"]),
)
MIXES = st.builds(Mix, PAIRS, st.sampled_from(["none", "hswish"]))
RESIDUAL = st.builds(
    ResBlock,
    PAIRS,
    st.integers(1, 8),
    st.sampled_from([3, 5]),
    st.integers(1, 2),
    st.sampled_from(["depthwise", "full"]),
    st.sampled_from(["changed", "always"]),
    st.integers(0, 3),
)
SPECS = st.builds(OpSpec, GROUPED | MIXES | RESIDUAL, st.builds(Shape, SIZES, SIZES, PAIRS))


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
def test_elements_moved_are_those_of_the_folded_module_and_its_shuffle(spec: OpSpec) -> None:
    module = folded(spec.module())
    with torch.no_grad(), ElementsMoved() as moved:
        module(image(spec))
    shuffled = sum(isinstance(each, ChannelShuffle) for each in module.modules())
    wide = spec.in_shape.elements * getattr(spec.operation, "expand", 1)
    assert spec.cost.elements_moved == moved.elements + 2 * wide * shuffled


def test_a_shuffle_puts_channels_of_different_groups_side_by_side() -> None:
    channels = torch.arange(16.0).reshape(1, 16, 1, 1)
    shuffled = ChannelShuffle(4)(channels).flatten().int().tolist()
    assert [shuffled.index(c) for c in range(16)] == [(c % 4) * 4 + c // 4 for c in range(16)]


def test_a_shuffle_undone_by_the_other_number_of_groups_is_the_identity() -> None:
    x = torch.rand(2, 12, 3, 5)
    assert torch.equal(ChannelShuffle(4)(ChannelShuffle(3)(x)), x)


def test_the_first_convolution_is_left_out_at_expansion_1_only() -> None:
    text = "groupmbconv in=8x8x8 out=8 groups=2 first={} expand={}"
    always, expanding = (OpSpec.parse(text.format(first, 1)).params for first in ("always", "expanding"))
    assert always - expanding == 8 * 8 // 2 + 2 * 8
    assert OpSpec.parse(text.format("always", 3)).params == OpSpec.parse(text.format("expanding", 3)).params


def test_a_residual_block_projects_its_input_where_it_must_or_is_told_to() -> None:
    text = "resblock in=8x8x8 out={} wide=4 stride={} project={}"
    plain = OpSpec.parse(text.format(8, 1, "changed")).params
    assert OpSpec.parse(text.format(8, 1, "always")).params == plain + 8 * 8 + 8 + 2 * 8
    assert OpSpec.parse(text.format(8, 2, "changed")).params == OpSpec.parse(text.format(8, 2, "always")).params


def test_channels_that_make_no_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="8 channels do not make 3 equal groups"):
        OpSpec.parse("groupmbconv in=8x8x8 out=9 groups=3").module()
