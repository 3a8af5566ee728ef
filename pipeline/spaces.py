"""The search spaces by name, and their text form `NAME[?option=value&…]`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

from pipeline.block_space import BlockCells
from pipeline.darts_space import DartsCells
from pipeline.fbnet_chain import FBNetChain
from pipeline.genotype_network import GenotypeNetwork
from pipeline.given_network import GivenNetwork
from pipeline.graph_space import GraphSpace, Wiring
from pipeline.mbconv_chain import MBConvChain
from pipeline.mnasnet_chain import MnasNetChain
from pipeline.mobilenet_v3_chain import MobileNetV3Chain
from pipeline.nasnet_network import NasnetNetwork
from pipeline.recurrent.space import RecurrentWiring
from pipeline.space import Chain, Layer, SearchSpace, SpaceError
from pipeline.zen_chain import ZenChain


class ChainOptions(Protocol):
    """A frozen dataclass of numbers and lists of numbers that describes a chain; raises SpaceError if they misfit."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def layers(self) -> tuple[Layer, ...]: ...


# A space that is no chain says itself what it decides and how that is wired.
SpaceOptions = ChainOptions | Wiring


@dataclass(frozen=True, slots=True)
class SpaceFamily:
    """What a name stands for: the options that a text may override."""

    description: str
    defaults: SpaceOptions


SPACES: dict[str, SpaceFamily] = {
    "mbconv-8": SpaceFamily(
        "7 searched blocks for 8x8 grey images (digits): minutes from profile to bundle",
        MBConvChain(
            resolution=8,
            channels=1,
            classes=10,
            stem=16,
            stem_stride=1,
            widths=(24, 48, 96),
            depths=(2, 3, 2),
            strides=(1, 2, 1),
            kernels=(3, 5),
            expands=(1, 6),
            head=128,
        ),
    ),
    "mbconv-28": SpaceFamily(
        "10 searched blocks for 28x28 grey images (Fashion-MNIST): about 10M MACs",
        MBConvChain(
            resolution=28,
            channels=1,
            classes=10,
            stem=16,
            stem_stride=1,
            first=8,
            widths=(16, 32, 64),
            depths=(3, 4, 3),
            strides=(2, 2, 1),
            head=256,
        ),
    ),
    "mbconv-32": SpaceFamily(
        "12 searched blocks for 32x32 colour images (CIFAR): about 30M MACs",
        MBConvChain(
            resolution=32,
            classes=10,
            stem=16,
            stem_stride=1,
            widths=(24, 40, 80),
            depths=(4, 4, 4),
            strides=(2, 2, 1),
            head=512,
        ),
    ),
    "mbconv-64": SpaceFamily(
        "15 searched blocks for 64x64 colour images (Tiny ImageNet): about 45M MACs",
        MBConvChain(
            resolution=64,
            classes=200,
            stem=24,
            widths=(24, 40, 80, 96, 192),
            depths=(3, 4, 4, 3, 1),
            strides=(2, 2, 1, 1, 2),
            head=960,
        ),
    ),
    "proxyless-mobile": SpaceFamily(
        "ProxylessNAS's ImageNet space (arXiv:1812.00332): 21 searched blocks, 224x224, 2e17 networks",
        MBConvChain(),
    ),
    "darts-28": SpaceFamily(
        "DARTS's cells for 28x28 grey images (Fashion-MNIST): 5 cells of 8 filters",
        DartsCells(resolution=28, channels=1, filters=8, layers=5),
    ),
    "darts-cifar": SpaceFamily(
        "DARTS's cells for CIFAR (arXiv:1806.09055), as searched; evaluated with filters=36&layers=20: 1e18 networks",
        DartsCells(),
    ),
    "darts-imagenet": SpaceFamily(
        "DARTS's cells for ImageNet (arXiv:1806.09055), as evaluated: 14 cells of 48 filters, 224x224",
        DartsCells(resolution=224, classes=1000, filters=48, layers=14, stem_stride=8),
    ),
    "blocks-cifar": SpaceFamily(
        "Cells of blocks for CIFAR, as NASNet and AmoebaNet search them (arXiv:1712.00559): 5 blocks, 8 operations",
        BlockCells(),
    ),
    "fbnet": SpaceFamily(
        "FBNet's ImageNet space (arXiv:1812.03443): 22 searched layers, 224x224, group convolution, 1e21 networks",
        FBNetChain(),
    ),
    "mobilenet-v3": SpaceFamily(
        "Once-for-All's ImageNet space (arXiv:1908.09791): 20 searched blocks, 224x224, squeeze-excite, h-swish",
        MobileNetV3Chain(),
    ),
    "mnasnet": SpaceFamily(
        "MnasNet's ImageNet space (arXiv:1807.11626): 22 searched blocks, 224x224, with or without squeeze-excite",
        MnasNetChain(),
    ),
    "zennet": SpaceFamily(
        "Zen-NAS's ImageNet networks (arXiv:2102.01063): kernels and depths of residual bottlenecks of given widths",
        ZenChain(),
    ),
    "network": SpaceFamily(
        "A published network, as in network?of=fbnet-c&classes=10: to be profiled and trained, nothing to search",
        GivenNetwork(),
    ),
    "genotype": SpaceFamily(
        "A genotype in DARTS's network, whatever its edges: to be profiled and trained, nothing to search",
        GenotypeNetwork(),
    ),
    "nasnet": SpaceFamily(
        "A genotype in NASNet's network (arXiv:1707.07012): to be profiled and trained, nothing to search",
        NasnetNetwork(),
    ),
    "darts-rnn": SpaceFamily(
        "DARTS's recurrent cells for language models (arXiv:1806.09055): 8 nodes, a token a step; see millis language",
        RecurrentWiring(),
    ),
}


def parse_space(text: str) -> SearchSpace:
    """The space of a text such as `mbconv-32?classes=100`; raises SpaceError naming what is wrong and what there is."""
    name, _, query = text.partition("?")
    if name not in SPACES:
        raise SpaceError(f"no search space {name!r}; there are {', '.join(SPACES)}")
    defaults = SPACES[name].defaults
    try:
        options = replace(defaults, **_read_options(query, defaults))
        return space_of(_text_of(name, options, defaults), options)
    except (SpaceError, ValueError) as error:
        raise SpaceError(f"space {text!r}: {error}") from None


def space_of(name: str, options: SpaceOptions) -> SearchSpace:
    """The space of these options, to be rebuilt by that name; raises SpaceError where they do not fit together."""
    return GraphSpace(name, options) if isinstance(options, Wiring) else Chain(name, options.layers())


def _read_options(query: str, defaults: SpaceOptions) -> dict[str, object]:
    names = [field.name for field in fields(defaults)]
    values: dict[str, object] = {}
    for word in query.split("&") if query else []:
        name, _, value = word.partition("=")
        if name not in names:
            raise ValueError(f"no option {name!r}; there are {', '.join(names)}")
        if name in values:
            raise ValueError(f"{name} is given twice")
        values[name] = _read_value(name, value, getattr(defaults, name))
    return values


def _read_value(name: str, value: str, default: object) -> object:
    """`value` as whatever the default is: a text, a number, a whole number, a list of whole numbers."""
    if isinstance(default, str):
        return value
    try:
        if isinstance(default, float):
            return float(value)
        if isinstance(default, tuple):
            return tuple(int(part) for part in value.split(","))
        return int(value)
    except ValueError:
        wanted = "a number" if isinstance(default, float) else "a whole number"
        wanted = "a list of whole numbers, as in 16,24,40" if isinstance(default, tuple) else wanted
        raise ValueError(f"{name}={value!r} is not {wanted}") from None


def _text_of(name: str, options: SpaceOptions, defaults: SpaceOptions) -> str:
    changed = [
        f"{field.name}={_text_of_value(getattr(options, field.name))}"
        for field in fields(options)
        if getattr(options, field.name) != getattr(defaults, field.name)
    ]
    return f"{name}?{'&'.join(changed)}" if changed else name


def _text_of_value(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).removesuffix(".0")
