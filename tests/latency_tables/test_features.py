from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.features import features, likeness
from profilers.op_spec import OpSpec

OPS = st.builds(
    "{} in={}x{}x{} out={} kernel={}".format,
    st.sampled_from(["conv", "mbconv"]),
    st.integers(1, 64),
    st.integers(1, 64),
    st.integers(1, 64),
    st.integers(1, 64),
    st.sampled_from([1, 3, 5]),
).map(OpSpec.parse)
MANY_OPS = st.lists(OPS, min_size=1, max_size=12, unique=True)
SMALL = OpSpec.parse("mbconv in=8x8x8 out=8")
WIDER = OpSpec.parse("mbconv in=8x8x16 out=16")
LARGE = OpSpec.parse("mbconv in=56x56x64 out=64 kernel=7 expand=6")
HEAD = OpSpec.parse("classifier in=8x8x8 out=10")


@given(MANY_OPS)
def test_every_feature_weighs_the_same_and_none_is_the_same_for_all(ops: list[OpSpec]) -> None:
    found = features(ops)
    assert found.shape[0] == len(ops)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=1e-9)


@given(MANY_OPS, st.floats(0.1, 3))
def test_likeness_is_a_covariance_of_which_each_operation_is_most_like_itself(ops: list[OpSpec], reach: float) -> None:
    alike = likeness(ops, reach)
    np.testing.assert_array_equal(alike, alike.T)
    np.testing.assert_array_equal(alike.diagonal(), 1)
    assert alike.min() >= 0 and alike.max() <= 1
    assert np.linalg.eigvalsh(alike).min() > -1e-9


@given(MANY_OPS.flatmap(lambda ops: st.tuples(st.just(ops), st.permutations(range(len(ops))))))
def test_the_order_of_operations_says_nothing(both: tuple[list[OpSpec], list[int]]) -> None:
    ops, order = both
    shuffled = likeness([ops[place] for place in order], 0.5)
    np.testing.assert_allclose(shuffled, likeness(ops, 0.5)[np.ix_(order, order)], atol=1e-9)


def test_an_operation_is_more_like_one_of_its_kind_and_size() -> None:
    [_, to_wider, to_large, to_head] = likeness([SMALL, WIDER, LARGE, HEAD], 0.5)[0]
    assert to_wider > max(to_large, to_head)


@pytest.mark.parametrize("ops", [[SMALL], [HEAD]])
def test_one_operation_alone_has_nothing_that_sets_it_apart(ops: list[OpSpec]) -> None:
    assert features(ops).shape == (1, 0)
    assert likeness(ops, 0.5).tolist() == [[1.0]]


@pytest.mark.parametrize(
    "other",
    [
        "mbconv in=8x8x8 out=8 kernel=5",
        "mbconv in=8x8x8 out=8 expand=6",
        "mbconv in=8x8x8 out=8 stride=2",
        "mbconv in=8x8x8 out=8 act=hswish",
        "mbconv in=8x8x8 out=8 se=4",
        "mbconv in=16x8x8 out=8",
        "mbconv in=8x8x4 out=8",
        "mbconv in=8x8x8 out=4",
    ],
)
def test_whatever_sets_two_operations_apart_makes_them_less_alike(other: str) -> None:
    assert likeness([SMALL, OpSpec.parse(other)], 0.5)[0, 1] < 1
