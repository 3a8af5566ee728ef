"""Closed-form costs against what PyTorch counts when it runs the module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from profilers.blocks import folded
from profilers.cell_ops import AvgPool, Conv7x1, DilConv, MaxPool, Reduce, ReLUConv, SepConv
from profilers.cost import Cost
from profilers.op_spec import OpSpec
from profilers.operations import Classifier, Conv, Identity, MBConv, Pool, Zero
from profilers.shape import Shape

SIZES = st.integers(1, 9)
CHANNELS = st.integers(1, 8)
KERNELS = st.sampled_from([1, 3, 5, 7])
ACTIVATIONS = st.sampled_from(["none", "relu", "relu6", "hswish"])
STRIDES = st.integers(1, 2)
CONVS = st.builds(Conv, CHANNELS, KERNELS, STRIDES, ACTIVATIONS)
MBCONVS = st.builds(MBConv, CHANNELS, KERNELS, STRIDES, st.integers(1, 6), ACTIVATIONS, st.integers(0, 4))
CELL_OPS = (
    st.one_of(*(st.builds(each, CHANNELS, KERNELS, STRIDES) for each in (ReLUConv, SepConv, DilConv)))
    | st.one_of(*(st.builds(each, KERNELS, STRIDES) for each in (MaxPool, AvgPool)))
    | st.builds(Conv7x1, CHANNELS, STRIDES)
    | st.builds(Reduce, st.integers(2, 8))
)
SPECS = st.builds(
    OpSpec,
    CONVS
    | MBCONVS
    | CELL_OPS
    | st.builds(Classifier, CHANNELS)
    | st.sampled_from([Pool(), Identity()])
    | st.builds(Zero, STRIDES),
    st.builds(Shape, SIZES, SIZES, CHANNELS),
)
SHORTCUTS = st.builds(
    lambda op, size: OpSpec(op, Shape(size, size, op.out)), st.builds(MBConv, CHANNELS, KERNELS), SIZES
)

# What is left of a module once activations are fused into the layer before them.
KERNELS_OF_A_FUSED_MODULE = {
    torch.ops.aten.convolution.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten.mean.dim,
    torch.ops.aten.avg_pool2d.default,
    torch.ops.aten.max_pool2d_with_indices.default,
    torch.ops.aten.mul.Tensor,
    torch.ops.aten.add.Tensor,
}


class ElementsMoved(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the elements that each kernel reads and writes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.elements = 0

    def __torch_dispatch__(
        self, func: object, types: object, args: Sequence[object] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        result = func(*args, **(kwargs or {}))  # type: ignore[operator]
        if func in KERNELS_OF_A_FUSED_MODULE:
            given = result[0] if isinstance(result, tuple) else result  # a pool also tells where it found the largest
            self.elements += sum(value.numel() for value in (*args, given) if isinstance(value, Tensor))
        return result


def image(spec: OpSpec) -> Tensor:
    height, width, channels = spec.in_shape
    return torch.zeros(1, channels, height, width)


@pytest.fixture(autouse=True)
def _without_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@settings(max_examples=60, deadline=None)
@given(SPECS | SHORTCUTS)
def test_macs_are_what_pytorch_counts(spec: OpSpec) -> None:
    with FlopCounterMode(display=False) as counter:
        spec.module().eval()(image(spec))
    assert spec.macs * 2 == counter.get_total_flops()


@settings(max_examples=60, deadline=None)
@given(SPECS | SHORTCUTS)
def test_params_are_the_trainable_scalars_of_the_module(spec: OpSpec) -> None:
    assert spec.params == sum(parameter.numel() for parameter in spec.module().parameters())


@settings(max_examples=60, deadline=None)
@given(SPECS | SHORTCUTS)
def test_elements_moved_are_what_the_kernels_of_the_folded_module_touch(spec: OpSpec) -> None:
    module = folded(spec.module())
    with ElementsMoved() as moved:
        module(image(spec))
    assert spec.cost.elements_moved == moved.elements


@settings(max_examples=60, deadline=None)
@given(SPECS | SHORTCUTS)
def test_the_module_gives_the_shape_that_the_spec_promises(spec: OpSpec) -> None:
    height, width, channels = spec.out_shape
    expected = (1, channels) if isinstance(spec.operation, Classifier) else (1, channels, height, width)
    assert spec.module().eval()(image(spec)).shape == expected


def test_costs_add_up_field_by_field() -> None:
    assert Cost(1, 2, 3) + Cost(10, 20, 30) == Cost(11, 22, 33)
