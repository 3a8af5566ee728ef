"""The chains of FBNet, MobileNetV3 (Once-for-All), MnasNet and Zen-NAS."""

from __future__ import annotations

from random import Random

import pytest
import torch

from pipeline.architecture import Architecture
from pipeline.space import SpaceError
from pipeline.spaces import parse_space
from profilers.blocks import build_chain

# Small enough to be run here.
SMALL = {
    "fbnet": "fbnet?resolution=16&channels=1&classes=5&stem=4&widths=4,8&depths=1,2&strides=1,2&head=8",
    "fbnet with first convolutions": "fbnet?resolution=16&stem=4&widths=4,8&depths=1,2&strides=1,2&head=8&pointwise=1",
    "mobilenet-v3": "mobilenet-v3?resolution=15&stem=8&first=8&widths=8,8&depths=2,1&strides=2,1&se=1,0&hswish=0,1",
    "mnasnet": "mnasnet?resolution=15&stem=8&first=8&widths=8,16&depths=2,2&strides=1,2&head=8",
    "zennet": "zennet?resolution=15&stem=4&widths=8,8&bottlenecks=8,4&depths=2,1&strides=1,2&expands=1,2&se=1&head=8",
    "zennet of full convolutions": "zennet?resolution=8&widths=8,16&bottlenecks=4,4&depths=2,1&strides=2,1&expands=1,1"
    "&depthwise=0&head=8",
}


def test_the_fbnet_space_has_the_published_number_of_networks() -> None:
    space = parse_space("fbnet")
    assert space.size == 9**22
    assert space.decisions[0].labels == ("k3e1", "k3e1g2", "k3e3", "k3e6", "k5e1", "k5e1g2", "k5e3", "k5e6", "identity")


def test_a_layer_of_fbnet_that_changes_its_shape_is_skipped_by_a_1x1_convolution() -> None:
    decisions = parse_space("fbnet").decisions
    assert [decision.labels[-1] for decision in decisions[:6]] == [
        "identity",
        "k1",
        "identity",
        "identity",
        "identity",
        "k1",
    ]


def test_the_paper_s_fbnet_blocks_have_a_first_convolution_at_expansion_1() -> None:
    code, paper = (parse_space(f"fbnet?pointwise={each}") for each in (0, 1))
    costs = [
        [sum(op.params for op in space.graph([place] * 22).ops()) for place in (0, 1, 2)] for space in (code, paper)
    ]
    assert costs[0][0] < costs[1][0] and costs[0][1] < costs[1][1] and costs[0][2] == costs[1][2]


def test_squeeze_excite_of_once_for_all_has_a_quarter_of_the_expanded_channels() -> None:
    space = parse_space("mobilenet-v3?width=1.2")
    assert space.decisions[5].labels[:2] == ("k3e3se40", "k5e3se40")  # 48 channels, 144 expanded
    assert space.decisions[1].labels[-2:] == ("k7e6", "identity")


def test_squeeze_excite_of_mnasnet_has_a_quarter_of_the_input_channels() -> None:
    labels = parse_space("mnasnet").decisions[3].labels
    assert labels[:4] == ("k3e1", "k3e1se6", "k5e1", "k5e1se6")


@pytest.mark.parametrize("name", SMALL)
def test_a_network_of_a_small_space_is_what_its_operations_say(name: str) -> None:
    space = parse_space(SMALL[name])
    architecture = Architecture.random(space, Random(3))
    network = build_chain(architecture.ops()).eval()
    height, width, channels = space.input_shape
    assert network(torch.zeros(2, channels, height, width)).shape == (2, space.classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == architecture.params


@pytest.mark.parametrize("name", SMALL)
def test_a_small_space_is_rebuilt_by_its_name(name: str) -> None:
    space = parse_space(SMALL[name])
    assert parse_space(space.name) == space


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fbnet?pointwise=2", "pointwise=2 must be 0 or 1"),
        ("fbnet?groups=3", "16 channels do not make 3 equal groups"),
        ("fbnet?depths=1,2", "widths, depths and strides describe 7, 2 and 7 stages"),
        ("mobilenet-v3?se=0,1", r"hswish describe 5, 5, 5, 2 and 5 stages; give as many of each"),
        ("mobilenet-v3?hswish=0,0,2,1,1", r"must be 0 or 1"),
        ("mobilenet-v3?width=0", r"width=0.0 must be above 0"),
        ("mnasnet?se=0,0", "two candidates are called k3e1"),
        ("mnasnet?head=0", "head=0 must be from 1 to"),
    ],
)
def test_a_bad_space_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        parse_space(text)
