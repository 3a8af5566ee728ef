from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.architecture import Architecture
from pipeline.counting import count_network
from pipeline.published import PUBLISHED, Figure, load_network
from pipeline.space import SpaceError
from pipeline.spaces import parse_space
from profilers.errors import FileError

GOLDEN = {
    "mobilenet-v2": (3_504_872, 300_774_272),
    "proxylessnas-mobile": (4_080_512, 320_427_584),
    "proxylessnas-cpu": (4_361_648, 439_243_864),
    "mnasnet-a1": (3_887_038, 311_579_072),
    "mnasnet-b1": (4_383_312, 314_415_872),
    "fbnet-a": (4_304_584, 244_452_664),
    "fbnet-b": (4_801_368, 291_004_424),
    "fbnet-c": (5_570_664, 378_136_224),
    "ofa-flops-389m": (8_386_544, 389_487_856),
    "ofa-flops-482m": (9_066_368, 482_413_168),
    "ofa-flops-595m": (9_135_928, 595_189_032),
    "ofa-note10-30ms": (7_465_896, 339_352_816),
    "zennet-400m": (5_698_208, 400_213_376),
    "zennet-600m": (7_125_944, 597_503_840),
    "zennet-900m": (19_351_644, 915_283_136),
    "zennet-cifar-0.5m": (500_466, 136_096_768),
    "zennet-cifar-1m": (994_674, 159_213_568),
    "zennet-cifar-2m": (1_981_810, 481_432_576),
}

# Of the published figures, those that our counts do not give.
MISMATCHES = {
    ("mnasnet-b1", "315M"),
    ("fbnet-b", "291.1M"),
    ("fbnet-c", "378.2M"),
    ("zennet-400m", "410M"),
    ("zennet-600m", "611M"),
    ("zennet-900m", "934M"),
    ("zennet-cifar-0.5m", "140M"),
    ("zennet-cifar-1m", "162M"),
    ("zennet-cifar-2m", "487M"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_come_out_exact(name: str) -> None:
    network = load_network(name)
    assert (network.params, network.macs) == GOLDEN[name]


def run_without_weights(network: Architecture, *hooked: type[nn.Module]) -> tuple[nn.Module, Tensor, int]:
    """The module, its logits, and how many elements the modules of some types gave: all of it on no device."""
    elements = 0

    def add(_: nn.Module, __: object, given: Tensor) -> None:
        nonlocal elements
        elements += given.numel()

    with torch.device("meta"), torch.no_grad():
        module = network.graph().module().eval()
        for each in module.modules():
            if isinstance(each, hooked):
                each.register_forward_hook(add)
        height, width, channels = network.space.input_shape
        return module, module(torch.empty(1, channels, height, width)), elements


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_network_is_built_as_it_is_counted(name: str) -> None:
    network = load_network(name)
    with FlopCounterMode(display=False) as counter:
        module, logits, _ = run_without_weights(network)
    assert logits.shape == (1, network.space.classes)
    assert sum(parameter.numel() for parameter in module.parameters()) == network.params
    assert counter.get_total_flops() == 2 * network.macs


def test_known_mismatches_are_those_and_have_a_reason() -> None:
    counts = [
        (name, count) for name in PUBLISHED for each in [count_network(name)] for count in (each.params, each.macs)
    ]
    figures = [(name, count.figure, count.agrees) for name, count in counts if count.figure is not None]
    assert {(name, figure.printed) for name, figure, agrees in figures if not agrees} == MISMATCHES
    assert {(name, figure.printed) for name, figure, _ in figures if figure.reason} == MISMATCHES


@pytest.mark.parametrize("name", ["fbnet-a", "fbnet-b", "fbnet-c"])
def test_fbnet_s_figures_are_ours_with_the_sums_of_the_last_pool(name: str) -> None:
    ops = load_network(name).ops()
    figure = PUBLISHED[name].macs
    assert figure is not None and figure.agrees(sum(op.macs for op in ops) + ops[-1].in_shape.elements)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("zennet-400m", "409M"),  # 410M by the authors
        ("zennet-600m", "611M"),
        ("zennet-900m", "931M"),  # 934M by the authors
        ("zennet-cifar-0.5m", "140M"),
        ("zennet-cifar-1m", "162M"),
        ("zennet-cifar-2m", "487M"),
    ],
)
def test_zen_nas_s_figures_are_ours_with_two_for_each_normalised_element(name: str, printed: str) -> None:
    network = load_network(name)
    _, _, normalised = run_without_weights(network, nn.BatchNorm2d)
    assert Figure(printed).agrees(network.macs + 2 * normalised)


@pytest.mark.parametrize(("name", "params"), [("zennet-400m", 7_466_024), ("zennet-600m", 11_311_664)])
def test_zen_nas_counted_small_networks_without_their_squeeze_excite(name: str, params: int) -> None:
    network = load_network(name)
    options = "&se=1" if "?" in network.space.name else "?se=1"
    excited = Architecture.from_labels(parse_space(network.space.name + options), network.labels)
    assert excited.params == params > network.params


@pytest.mark.parametrize(
    ("name", "params", "macs"), [("fbnet-b", 4_863_288, 306_210_888), ("fbnet-c", 5_572_200, 384_960_160)]
)
def test_fbnet_with_the_paper_s_first_convolutions(name: str, params: int, macs: int) -> None:
    network = load_network(name)
    paper = Architecture.from_labels(parse_space(f"{network.space.name}&pointwise=1"), network.labels)
    assert (paper.params, paper.macs) == (params, macs)


@pytest.mark.parametrize(
    ("options", "params", "millions"),
    [
        ("width=1.4", 6_105_992, 586.3),
        ("width=0.75", 2_912_278, 223.4),
        ("width=0.5", 2_082_006, 103.2),
        ("width=0.35", 1_747_018, 61.7),
        ("resolution=192", 3_887_038, 229.3),
        ("resolution=160", 3_887_038, 159.7),
        ("resolution=128", 3_887_038, 102.8),
        ("resolution=96", 3_887_038, 58.5),
    ],
)
def test_mnasnet_a1_in_other_sizes(options: str, params: int, millions: float) -> None:
    network = load_network("mnasnet-a1")
    resized = parse_space(f"{network.space.name}&{options}")
    ops = resized.graph(network.choices).ops()
    assert (sum(op.params for op in ops), round(sum(op.macs for op in ops) / 1e6, 1)) == (params, millions)


@pytest.mark.parametrize(
    ("printed", "count", "agrees"),
    [
        ("4.08M", 4_080_512, True),
        ("5.5M", 5_570_664, True),  # cut off
        ("5.6M", 5_570_664, True),  # rounded
        ("300M", 300_774_272, True),
        ("300M", 299_499_999, False),
        ("22.96G", 22_960_000_000, True),
        ("4.0M", 4_100_000, False),
    ],
)
def test_a_figure_agrees_with_counts_that_round_to_it_or_are_cut_off_to_it(
    printed: str, count: int, agrees: bool
) -> None:
    assert Figure(printed).agrees(count) is agrees


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_network_survives_its_file(name: str, tmp_path: Path) -> None:
    load_network(name).save(tmp_path / "network.json")
    assert load_network(str(tmp_path / "network.json")) == Architecture.load(tmp_path / "network.json")
    assert load_network(str(tmp_path / "network.json")) == load_network(name)


@pytest.mark.parametrize("name", ["proxylessnas-mobile", "mnasnet-a1"])
def test_the_parts_of_a_network_add_up_to_it(name: str) -> None:
    counted = count_network(name)
    for parts in (counted.stages(), counted.kinds()):
        assert sum(part.params for part in parts) == counted.params.count
        assert sum(part.macs for part in parts) == counted.macs.count
        assert sum(part.operations for part in parts) == sum(not node.op.free for node in counted.nodes)


@pytest.mark.parametrize(
    ("name", "told"),
    [("proxylesnas", "did you mean proxylessnas-"), ("resnet-50", "millis count lists those there are")],
)
def test_an_unknown_network_is_told_with_the_nearest(name: str, told: str) -> None:
    with pytest.raises(SpaceError, match=f"no network '{name}': not a file, and not a published one; {told}"):
        load_network(name)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileError, match=r"nowhere\.json: no such architecture"):
        load_network("nowhere.json")
