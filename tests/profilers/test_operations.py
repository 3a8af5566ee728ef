from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from random import Random
from typing import ClassVar, Literal, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from profilers.cost import Cost
from profilers.op_spec import OpSpec
from profilers.operation import OPERATIONS, Operation, operation
from profilers.operations import Identity, MBConv
from profilers.shape import Shape

SHAPES = st.builds(Shape, st.integers(1, 256), st.integers(1, 256), st.integers(1, 2048))


def values_of(name: str, hint: object) -> st.SearchStrategy[object]:
    """What a field of an operation may hold, by its name and type."""
    if get_origin(hint) is Literal:
        return st.sampled_from(get_args(hint))
    return st.sampled_from([1, 3, 5, 7]) if name == "kernel" else st.integers(2, 512)


def operations_of(cls: type[Operation]) -> st.SearchStrategy[Operation]:
    hints = get_type_hints(cls)
    return st.builds(cls, **{f.name: values_of(f.name, hints[f.name]) for f in fields(cls)})  # type: ignore[arg-type]


SPECS = st.builds(
    OpSpec, st.sampled_from(sorted(OPERATIONS)).map(OPERATIONS.__getitem__).flatmap(operations_of), SHAPES
)
WORDS = st.sampled_from([*OPERATIONS, "in=8x8x3", "in=0x8x3", "out=8", "out=", "kernel=4", "act=relu", "stride=-1"])


@given(SPECS)
def test_an_operation_is_read_back_from_its_text(spec: OpSpec) -> None:
    assert OpSpec.parse(str(spec)) == spec


@given(SPECS, st.randoms(use_true_random=False), st.sampled_from([" ", "  ", "\t", "\n"]))
def test_order_and_spacing_of_fields_do_not_matter(spec: OpSpec, random: Random, space: str) -> None:
    kind, *words = str(spec).split()
    random.shuffle(words)
    assert str(OpSpec.parse(space.join([kind, *words]))) == str(spec)


@given(SPECS, SPECS)
def test_texts_are_equal_exactly_where_operations_are(one: OpSpec, other: OpSpec) -> None:
    assert (str(one) == str(other)) == (one == other)
    assert one != other or hash(one) == hash(other)


@given(st.text() | st.lists(WORDS | st.text()).map(" ".join))
def test_any_text_is_an_operation_or_a_value_error_of_one_line(text: str) -> None:
    assert "\n" not in problem_of(text)


def problem_of(text: str) -> str:
    try:
        OpSpec.parse(text)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no operation ''; there are add, avgpool, classifier, concat, conv"),
        ("deconv in=8x8x3", "no operation 'deconv'; there are add, avgpool, classifier"),
        ("conv out=8", "in= is missing"),
        ("conv in=8x8x3", "out= is missing"),
        ("conv in=8x8 out=8", "'8x8' is not a shape"),
        ("conv in=8x8x0 out=8", "'8x8x0' has a size of zero"),
        ("conv in=8x8x3 out=8 out=8", "out= is given twice"),
        ("conv in=8x8x3 out=8 groups=2", "no field 'groups'; there are out, kernel, stride, act"),
        ("conv in=8x8x3 out=8 stride=½", "stride=½ is not a whole number"),
        ("conv in=8x8x3 out=8 kernel=4", "kernel=4 must be odd"),
        ("conv in=8x8x3 out=8 act=gelu", "act=gelu is none of none, relu, relu6, hswish"),
        ("mbconv in=8x8x3 out=8 expand=0", "expand=0 must be at least 1"),
        ("conv in=8x8x3 out 8", "'out' is not name=value"),
    ],
)
def test_a_bad_text_says_what_is_wrong(text: str, message: str) -> None:
    assert message in problem_of(text)
    assert problem_of(text).startswith(repr(text))


def test_the_text_form_is_the_documented_one() -> None:
    spec = OpSpec(MBConv(40, kernel=5, stride=2, expand=6), Shape(28, 28, 24))
    assert str(spec) == "mbconv in=28x28x24 out=40 kernel=5 stride=2 expand=6 act=relu6 se=0"


@pytest.fixture
def registry() -> Iterator[None]:
    before = dict(OPERATIONS)
    yield
    OPERATIONS.clear()
    OPERATIONS.update(before)


@pytest.mark.usefixtures("registry")
def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'conv' is already Conv"):
        operation("conv")(Identity)


@pytest.mark.usefixtures("registry")
def test_an_operation_of_a_users_own_is_one_dataclass() -> None:
    @operation("repeat")
    @dataclass(frozen=True, slots=True)
    class Repeat:
        times: int
        label: ClassVar[str] = "repeat"
        free: ClassVar[bool] = False

        def out_shape(self, in_shape: Shape) -> Shape:
            return in_shape.strided(1, in_shape.channels * self.times)

        def cost(self, in_shape: Shape) -> Cost:
            return Cost(elements_moved=in_shape.elements + self.out_shape(in_shape).elements)

        def module(self, in_shape: Shape) -> nn.Module:
            return nn.Conv2d(in_shape.channels, in_shape.channels * self.times, 1)

    spec = OpSpec.parse("repeat in=8x8x3 times=2")
    assert spec == OpSpec(Repeat(times=2), Shape(8, 8, 3))
    assert (str(spec), spec.bytes_moved()) == ("repeat in=8x8x3 times=2", 4 * (192 + 384))


def takes_its_input(spec: OpSpec) -> bool:
    """Some operations are for vectors, or for as many channels as make equal groups."""
    try:
        return spec.cost.elements_moved >= 0
    except ValueError:
        return False


@given(SPECS.filter(takes_its_input))
def test_free_operations_cost_nothing_and_the_others_something(spec: OpSpec) -> None:
    assert (spec.cost == Cost()) == spec.free
    assert spec.bytes_moved() == 4 * spec.cost.elements_moved


@given(SHAPES)
def test_a_shape_is_read_back_from_its_text(shape: Shape) -> None:
    assert Shape.parse(str(shape)) == shape
