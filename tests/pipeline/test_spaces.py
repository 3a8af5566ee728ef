from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import fields
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.mbconv_chain import MBConvChain
from pipeline.space import Chain, Layer, SpaceError, require_chain
from pipeline.spaces import SPACES, parse_space
from profilers.op_spec import OpSpec
from profilers.shape import make_divisible

SMALL = st.integers(1, 64)
BOTTLENECKS = [name for name, family in SPACES.items() if isinstance(family.defaults, MBConvChain)]


@st.composite
def space_texts(draw: st.DrawFn) -> str:
    """A name and some options, in any order, defaults among them."""
    stages = draw(st.integers(1, 3))
    lists = {name: [draw(st.integers(1, 3)) for _ in range(stages)] for name in ("depths", "strides")}
    lists["widths"] = [draw(SMALL) for _ in range(stages)]
    lists["kernels"] = draw(st.lists(st.sampled_from([3, 5, 7]), min_size=1, unique=True))
    lists["expands"] = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3, unique=True))
    words = [f"{name}={','.join(map(str, values))}" for name, values in lists.items()]
    words += [f"{name}={draw(SMALL)}" for name in ("resolution", "channels", "classes", "stem", "first", "head")]
    words += draw(st.sampled_from([[], ["width=1"], ["width=1.40"], ["width=.5"]]))
    return f"{draw(st.sampled_from(BOTTLENECKS))}?{'&'.join(draw(st.permutations(words)))}"


@given(space_texts())
def test_a_space_is_rebuilt_by_its_name(text: str) -> None:
    space = parse_space(text)
    assert parse_space(space.name) == space


@given(st.text() | st.builds("mbconv-8?{}={}".format, st.sampled_from(["width", "stem", "widths", "x"]), st.text()))
def test_any_text_is_a_space_or_a_space_error_of_one_line(text: str) -> None:
    assert "\n" not in problem_of(text)


def problem_of(text: str) -> str:
    try:
        parse_space(text)
    except SpaceError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", SPACES)
def test_the_name_of_a_space_leaves_out_options_at_their_default(name: str) -> None:
    defaults = SPACES[name].defaults
    first = fields(defaults)[0].name
    assert parse_space(f"{name}?{first}={getattr(defaults, first)}").name == name


def test_the_proxyless_space_has_the_published_number_of_networks() -> None:
    space = parse_space("proxyless-mobile")
    assert space.size == 7**15 * 6**6
    assert len(space.decisions) == 21


def test_the_proxyless_space_takes_imagenet() -> None:
    space = parse_space("proxyless-mobile")
    assert str(space.input_shape) == "224x224x3"
    assert space.classes == 1000
    assert str(space.fixed[-1].in_shape) == "7x7x1280"


def test_identity_stands_only_where_the_shape_is_kept() -> None:
    for layer in require_chain(parse_space("proxyless-mobile")).layers:
        assert ("identity" in layer.labels) == (layer.is_open and layer.in_shape == layer.out_shape)


def test_the_work_list_holds_every_kernel_once_and_nothing_free() -> None:
    space = require_chain(parse_space("proxyless-mobile"))
    specs = space.op_specs()
    assert len(specs) == len(set(specs)) == 70
    assert {spec for layer in space.layers for spec in layer.candidates} - set(specs) == {
        spec for layer in space.layers for spec in layer.candidates if spec.label == "identity"
    }


def test_the_demo_space_is_quick_to_profile_and_worth_searching() -> None:
    space = require_chain(parse_space("mbconv-8"))
    costs = [[spec.macs for spec in layer.candidates] for layer in space.layers]
    assert len(space.op_specs()) <= 36
    assert sum(map(max, costs)) >= 3 * sum(map(min, costs))


def test_one_kernel_and_one_expansion_leave_the_depth_to_search() -> None:
    space = parse_space("mbconv-8?kernels=3&expands=6")
    assert {layer.labels for layer in space.decisions} == {("k3e6", "identity")}


def test_the_width_multiplier_widens_the_head_but_never_narrows_it() -> None:
    narrow, wide = parse_space("proxyless-mobile?width=0.5"), parse_space("proxyless-mobile?width=1.4")
    assert [space.fixed[0].out_shape.channels for space in (narrow, wide)] == [16, 48]
    assert [space.fixed[-1].in_shape.channels for space in (narrow, wide)] == [1280, 1792]


@given(st.integers(1, 4000), st.integers(1, 300))
def test_widths_are_rounded_to_eights_and_lose_at_most_a_tenth(channels: int, percent: int) -> None:
    wanted = Fraction(channels * percent, 100)
    rounded = make_divisible(float(wanted))
    assert rounded % 8 == 0
    assert rounded >= wanted * Fraction(9, 10)
    assert rounded - wanted < 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mbconv-9", r"no search space 'mbconv-9'; there are mbconv-8, mbconv-28"),
        ("mbconv-8?depth=2", r"no option 'depth'; there are resolution, channels"),
        ("mbconv-8?stem=wide", r"stem='wide' is not a whole number"),
        ("mbconv-8?widths=16,,32", r"widths='16,,32' is not a list of whole numbers"),
        ("mbconv-8?width=nan", r"width=nan must be above 0"),
        ("mbconv-8?classes=0", r"classes=0 must be from 1 to"),
        ("mbconv-8?widths=16,24", r"describe 2, 3 and 3 stages"),
        ("mbconv-8?kernels=4", r"kernel=4 must be odd"),
        ("mbconv-8?kernels=3,3", r"two candidates are called k3e1"),
        ("mbconv-8?stem=8&stem=8", r"stem is given twice"),
    ],
)
def test_a_bad_space_says_what_is_wrong_and_what_there_is(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        parse_space(text)


def layer(name: str, *texts: str) -> Layer:
    return Layer(name, tuple(map(OpSpec.parse, texts)))


def test_candidates_of_one_layer_must_agree_in_shape() -> None:
    with pytest.raises(SpaceError, match="a: its candidates differ"):
        layer("a", "conv in=8x8x3 out=16", "mbconv in=8x8x3 out=24")


def test_layers_must_fit_each_other() -> None:
    with pytest.raises(SpaceError, match="a gives 8x8x16, b takes 8x8x24"):
        Chain("misfit", (layer("a", "conv in=8x8x3 out=16"), layer("b", "classifier in=8x8x24 out=10")))


def test_two_layers_of_one_name_are_refused() -> None:
    with pytest.raises(SpaceError, match="two layers are called a"):
        Chain("twice", (layer("a", "identity in=8x8x3"), layer("a", "identity in=8x8x3")))


def test_spaces_and_networks_are_counted_without_loading_torch_numpy_or_pydantic() -> None:
    code = (
        "import sys, pipeline.published as p; p.load_network('proxylessnas-mobile').macs; "
        "print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    )
    finished = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert finished.stdout == "set()\n"


@pytest.mark.parametrize("name", SPACES)
def test_what_stands_in_a_network_is_what_its_graph_wires(name: str) -> None:
    space = parse_space(name)
    choices = space.random(Random(1))
    assert Counter(space.ops(choices)) == Counter(space.graph(choices).ops())
    assert {op for op in space.ops(choices) if not op.free} <= set(space.op_specs())
