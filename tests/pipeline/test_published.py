from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from pipeline.architecture import Architecture
from pipeline.counting import count_network
from pipeline.genotypes import GENOTYPES
from pipeline.published import PUBLISHED, Figure, load_network
from pipeline.published.cells import CELLS
from pipeline.published.mobile import MOBILE
from pipeline.published.zen import ZEN
from pipeline.space import SpaceError
from pipeline.spaces import parse_space
from profilers.errors import FileError

GOLDEN = {
    "mobilenet-v2": (3_504_872, 300_774_272),
    "proxylessnas-mobile": (4_080_512, 320_427_584),
    "proxylessnas-cpu": (4_361_648, 439_243_864),
    "unas-mobile": (5_965_528, 428_018_592),
    "mnasnet-a1": (3_887_038, 311_579_072),
    "mnasnet-b1": (4_383_312, 314_415_872),
    "fbnet-a": (4_304_584, 244_452_664),
    "fbnet-b": (4_801_368, 291_004_424),
    "fbnet-c": (5_570_664, 378_136_224),
    "ofa-flops-389m": (8_386_544, 389_487_856),
    "ofa-flops-482m": (9_066_368, 482_413_168),
    "ofa-flops-595m": (9_135_928, 595_189_032),
    "ofa-note10-30ms": (7_465_896, 339_352_816),
    "darts-v1-cifar": (3_169_414, 500_987_520),
    "darts-v1-imagenet": (4_510_432, 505_864_704),
    "darts-v2-cifar": (3_349_342, 528_359_040),
    "darts-v2-imagenet": (4_718_752, 529_911_552),
    "pc-darts-cifar": (3_634_678, 556_670_592),
    "pc-darts-imagenet": (5_270_560, 571_137_408),
    "snas-cifar": (2_847_358, 440_687_232),
    "snas-imagenet": (4_312_576, 465_607_872),
    "unas-cifar10": (3_330_766, 516_304_512),
    "unas-cifar100": (4_067_200, 614_119_680),
    "unas-imagenet": (5_478_880, 595_184_256),
    "nasnet-a-darts": (3_061_738, 483_842_304),
    "amoebanet-a-darts": (3_145_078, 488_931_552),
    "nasnet-a-mobile": (5_289_978, 563_638_816),
    "nasnet-a-cifar": (3_346_538, 544_333_312),
    "nasnet-a-cifar-large": (32_590_954, 5_151_250_944),
    "pnasnet-5-mobile": (5_064_487, 587_293_200),
    "amoebanet-a-mobile": (5_086_930, 554_687_204),
    "amoebanet-a-large": (468_151_184, 103_887_693_968),
    "amoebanet-a-cifar-32": (2_548_682, 388_535_296),
    "amoebanet-a-cifar-36": (3_194_506, 485_781_120),
    "enas-micro-cifar": (3_894_382, 620_907_552),
    "zennet-400m": (5_698_208, 400_213_376),
    "zennet-600m": (7_125_944, 597_503_840),
    "zennet-900m": (19_351_644, 915_283_136),
    "zennet-cifar-0.5m": (500_466, 136_096_768),
    "zennet-cifar-1m": (994_674, 159_213_568),
    "zennet-cifar-2m": (1_981_810, 481_432_576),
    "darts-rnn-v1-ptb": (22_960_000, 22_950_000),
    "darts-rnn-v2-ptb": (22_960_000, 22_950_000),
    "darts-rnn-v2-wt2": (33_127_878, 33_094_600),
    "enas-rnn-ptb": (27_295_000, 27_285_000),
}

# Of the published figures, those that our counts do not give.
MISMATCHES = {
    ("mnasnet-b1", "315M"),
    ("fbnet-b", "291.1M"),
    ("fbnet-c", "378.2M"),
    ("darts-v1-cifar", "3.3M"),
    ("darts-v2-imagenet", "574M"),
    ("pc-darts-imagenet", "586M"),
    ("snas-imagenet", "522M"),
    ("nasnet-a-cifar-large", "27.6M"),
    ("pnasnet-5-mobile", "588M"),
    ("amoebanet-a-large", "469M"),
    ("amoebanet-a-cifar-32", "2.6M"),
    ("enas-micro-cifar", "4.6M"),
    ("zennet-400m", "410M"),
    ("zennet-600m", "611M"),
    ("zennet-900m", "934M"),
    ("zennet-cifar-0.5m", "140M"),
    ("zennet-cifar-1m", "162M"),
    ("zennet-cifar-2m", "487M"),
    ("enas-rnn-ptb", "24M"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_come_out_exact(name: str) -> None:
    network = load_network(name)
    assert (network.params, network.macs) == GOLDEN[name]


class Elements(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the elements that batch normalisation and ReLU give."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.normalised = self.rectified = 0

    def __torch_dispatch__(
        self, func: object, types: object, args: Sequence[Tensor] = (), kwargs: Mapping[str, object] | None = None
    ) -> object:
        given = func(*args, **(kwargs or {}))  # type: ignore[operator]
        self.normalised += given[0].numel() if "batch_norm" in str(func) else 0
        self.rectified += given.numel() if str(func).startswith("aten.relu") else 0
        return given


def run_without_weights(network: Architecture) -> tuple[nn.Module, Tensor]:
    """The module and its logits, on no device at all."""
    with torch.device("meta"), torch.no_grad():
        module = network.graph().module().eval()
        height, width, channels = network.space.input_shape
        return module, module(torch.empty(1, channels, height, width))


# Of the kinds of networks one each; the others when there is time.
BUILT = {
    "mobilenet-v2",
    "mnasnet-a1",
    "fbnet-a",
    "ofa-note10-30ms",
    "darts-v2-imagenet",
    "unas-cifar10",
    "nasnet-a-mobile",
}
BUILT |= {"pnasnet-5-mobile", "amoebanet-a-cifar-32", "zennet-600m", "zennet-900m", "zennet-cifar-0.5m"}


IMAGE_NETWORKS = [
    name if name in BUILT else pytest.param(name, marks=pytest.mark.slow) for name in (*MOBILE, *CELLS, *ZEN)
]


@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_a_published_network_is_built_as_it_is_counted(name: str) -> None:
    network = load_network(name)
    with FlopCounterMode(display=False) as counter:
        module, logits = run_without_weights(network)
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
    with Elements() as elements:
        run_without_weights(network)
    assert Figure(printed).agrees(network.macs + 2 * elements.normalised)


def test_pc_darts_s_figure_adds_two_for_each_normalised_element_and_one_for_each_relu() -> None:
    network = load_network("pc-darts-imagenet")
    with Elements() as elements:
        run_without_weights(network)
    figure = PUBLISHED["pc-darts-imagenet"].macs
    assert figure is not None and figure.agrees(network.macs + 2 * elements.normalised + elements.rectified)


def test_the_574_million_of_darts_are_none_of_the_counts_that_are_known() -> None:
    network = load_network("darts-v2-imagenet")
    with Elements() as elements:
        run_without_weights(network)
    assert (elements.normalised, elements.rectified) == (4_139_520, 5_795_328)
    figure = PUBLISHED["darts-v2-imagenet"].macs
    more = (0, 2 * elements.normalised, elements.rectified, 2 * elements.normalised + elements.rectified)
    assert figure is not None and not any(figure.agrees(network.macs + each) for each in more)


def test_the_4_6_million_of_enas_are_none_of_the_counts_of_its_code() -> None:
    params = load_network("enas-micro-cifar").params
    auxiliary = 720 * 128 + 2 * 128 + 2 * 2 * 128 * 768 + 2 * 768 + 768 * 10  # after the first cell of the last group
    figure = PUBLISHED["enas-micro-cifar"].params
    assert Figure("4.39M").agrees(params - 10 + auxiliary)
    assert figure is not None and not any(figure.agrees(each) for each in (params, params + auxiliary))


def test_unas_prints_its_network_for_cifar100_with_the_classes_of_cifar100() -> None:
    figure = PUBLISHED["unas-cifar100"].params
    ten = Architecture(parse_space("genotype?cells=unas-cifar100"), ())
    assert ten.params == 4_015_270
    assert figure is not None and not figure.agrees(ten.params)


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


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_genotype_file_is_the_network_that_darts_evaluates(form: str, tmp_path: Path) -> None:
    genotype = GENOTYPES["darts-v2"]
    path = tmp_path / "cells.txt"
    path.write_text(str(genotype) if form == "text" else genotype.json())
    network = load_network(str(path))
    assert Counter(network.ops()) == Counter(load_network("darts-v2-cifar").ops())
    network.save(tmp_path / "network.json")
    assert load_network(str(tmp_path / "network.json")) == network


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("Genotype(normal=[])", r"cells\.txt: not a genotype: it has the fields"),
        ('{"normal_concat": [2]}', r"cells\.txt: not a genotype: it has the fields"),
        ("{", r"cells\.txt: not JSON"),
    ],
)
def test_a_bad_genotype_file_is_named(content: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "cells.txt").write_text(content)
    with pytest.raises(FileError, match=told):
        load_network(str(tmp_path / "cells.txt"))


def test_a_published_network_is_made_for_other_images_and_classes() -> None:
    network = load_network("network?of=fbnet-c&resolution=64&channels=1&classes=7")
    assert str(network.space.input_shape) == "64x64x1" and network.space.classes == 7
    assert load_network("network?of=fbnet-c").graph() == load_network("fbnet-c").graph()
    assert load_network("network?of=unas-cifar10&classes=3").space.classes == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("network?of=fbnet", "no published network 'fbnet'; did you mean fbnet-c"),
        ("network?classes=-1", "classes=-1 must be from 1 to 65536, or 0 as published"),
        ("network?of=darts-rnn-v2-ptb&classes=3", "no option 'classes'; there are hidden, vocab"),
    ],
)
def test_a_published_network_that_cannot_be_made_is_told(text: str, told: str) -> None:
    with pytest.raises(SpaceError, match=told):
        load_network(text).graph()


def test_a_space_that_leaves_nothing_to_decide_is_a_network() -> None:
    assert load_network("nasnet?cells=amoebanet-a&filters=50") == load_network("amoebanet-a-mobile")
    with pytest.raises(SpaceError, match="space mbconv-8: leaves 7 decisions open; give an architecture file"):
        load_network("mbconv-8")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileError, match=r"nowhere\.json: no such architecture"):
        load_network("nowhere.json")
