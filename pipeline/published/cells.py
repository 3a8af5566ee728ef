"""Networks of cells: DARTS, PC-DARTS, SNAS, UNAS, ENAS, NASNet, PNASNet, AmoebaNet."""

from __future__ import annotations

from pipeline.published.network import Figure, PublishedNetwork

_MORE = "0.1% more than convolutions and linear layers: not known what else is counted"
_CIFAR = "resolution=32&classes=10&stem_cells=0"
_IMAGENET = "resolution=224&classes=1000&filters=48&layers=14&stem_stride=8"
_EVALUATED = "darts-cifar?filters=36&layers=20"
_DARTS_FORM = "the cell as DARTS writes it, in DARTS's network"

CELLS: dict[str, PublishedNetwork] = {
    "darts-v1-cifar": PublishedNetwork(
        title="DARTS, first order, for CIFAR-10",
        paper="arXiv:1806.09055",
        space=_EVALUATED,
        genotype="darts-v1",
        params=Figure("3.3M", "printed for both orders, and right for the second"),
    ),
    "darts-v1-imagenet": PublishedNetwork(
        title="DARTS, first order, for ImageNet",
        paper="arXiv:1806.09055",
        space="darts-imagenet",
        genotype="darts-v1",
    ),
    "darts-v2-cifar": PublishedNetwork(
        title="DARTS, second order, for CIFAR-10",
        paper="arXiv:1806.09055",
        space=_EVALUATED,
        genotype="darts-v2",
        params=Figure("3.3M"),
    ),
    "darts-v2-imagenet": PublishedNetwork(
        title="DARTS, second order, for ImageNet",
        paper="arXiv:1806.09055",
        space="darts-imagenet",
        genotype="darts-v2",
        params=Figure("4.7M"),
        macs=Figure("574M", "counted by no published code, nor by adding batch normalisation, ReLU or the other head"),
    ),
    "pc-darts-cifar": PublishedNetwork(
        title="PC-DARTS for CIFAR-10",
        paper="arXiv:1907.05737",
        space=_EVALUATED,
        genotype="pc-darts-cifar",
        params=Figure("3.6M"),
    ),
    "pc-darts-imagenet": PublishedNetwork(
        title="PC-DARTS's cells of CIFAR-10 for ImageNet",
        paper="arXiv:1907.05737",
        space="darts-imagenet",
        genotype="pc-darts-cifar",
        params=Figure("5.3M"),
        macs=Figure("586M", "counted by a tool that adds two for each normalised element and one for each ReLU"),
    ),
    "snas-cifar": PublishedNetwork(
        title="SNAS, moderate constraint, for CIFAR-10",
        paper="arXiv:1812.09926",
        space=_EVALUATED,
        genotype="snas-moderate",
        params=Figure("2.8M"),
    ),
    "snas-imagenet": PublishedNetwork(
        title="SNAS, moderate constraint, for ImageNet",
        paper="arXiv:1812.09926",
        space="darts-imagenet",
        genotype="snas-moderate",
        params=Figure("4.3M"),
        macs=Figure("522M", "counted by no published code"),
    ),
    "unas-cifar10": PublishedNetwork(
        title="UNAS for CIFAR-10",
        paper="arXiv:1912.07651",
        space="genotype?cells=unas-cifar10",
        params=Figure("3.3M"),
    ),
    "unas-cifar100": PublishedNetwork(
        title="UNAS for CIFAR-100",
        paper="arXiv:1912.07651",
        space="genotype?cells=unas-cifar100&classes=100",
        params=Figure("4.1M"),
    ),
    "unas-imagenet": PublishedNetwork(
        title="UNAS for ImageNet",
        paper="arXiv:1912.07651",
        space=f"genotype?cells=unas-imagenet&{_IMAGENET}",
    ),
    "nasnet-a-darts": PublishedNetwork(
        title="NASNet-A for CIFAR-10, as DARTS compares itself with it",
        paper="arXiv:1806.09055",
        space="genotype?cells=nasnet&filters=32",
        params=Figure("3.1M"),
        counted=_DARTS_FORM,
    ),
    "amoebanet-a-darts": PublishedNetwork(
        title="AmoebaNet-A for CIFAR-10, as DARTS compares itself with it",
        paper="arXiv:1806.09055",
        space="genotype?cells=amoebanet",
        params=Figure("3.1M"),
        counted=_DARTS_FORM,
    ),
    "nasnet-a-mobile": PublishedNetwork(
        title="NASNet-A (4 @ 1056)",
        paper="arXiv:1707.07012",
        space="nasnet",
        params=Figure("5.3M"),
        macs=Figure("564M"),
    ),
    "nasnet-a-cifar": PublishedNetwork(
        title="NASNet-A (6 @ 768) for CIFAR-10",
        paper="arXiv:1707.07012",
        space=f"nasnet?filters=32&layers=18&stem=96&{_CIFAR}",
        params=Figure("3.3M"),
    ),
    "nasnet-a-cifar-large": PublishedNetwork(
        title="NASNet-A (7 @ 2304) for CIFAR-10",
        paper="arXiv:1707.07012",
        space=f"nasnet?filters=96&layers=21&stem=288&{_CIFAR}",
        params=Figure("27.6M", "not reached by the authors' own code, which counts what we do"),
    ),
    "pnasnet-5-mobile": PublishedNetwork(
        title="PNASNet-5 for phones",
        paper="arXiv:1712.00559",
        space="nasnet?cells=pnasnet-5&filters=54&layers=9&in_place=1",
        params=Figure("5.1M"),
        macs=Figure("588M", _MORE),
    ),
    "amoebanet-a-mobile": PublishedNetwork(
        title="AmoebaNet-A (N=4, F=50)",
        paper="arXiv:1802.01548",
        space="nasnet?cells=amoebanet-a&filters=50",
        params=Figure("5.1M"),
        macs=Figure("555M"),
    ),
    "amoebanet-a-large": PublishedNetwork(
        title="AmoebaNet-A (N=6, F=448), 299x299",
        paper="arXiv:1802.01548",
        space="nasnet?cells=amoebanet-a&filters=448&layers=18&resolution=299",
        params=Figure("469M", "0.2% more than the authors' own code counts: not known why"),
        macs=Figure("104G"),
    ),
    "amoebanet-a-cifar-32": PublishedNetwork(
        title="AmoebaNet-A (N=6, F=32) for CIFAR-10",
        paper="arXiv:1802.01548",
        space=f"nasnet?cells=amoebanet-a&filters=32&layers=18&stem=32&{_CIFAR}",
        params=Figure("2.6M", "2.55M: not known what else is counted"),
    ),
    "amoebanet-a-cifar-36": PublishedNetwork(
        title="AmoebaNet-A (N=6, F=36) for CIFAR-10",
        paper="arXiv:1802.01548",
        space=f"nasnet?cells=amoebanet-a&filters=36&layers=18&stem=36&{_CIFAR}",
        params=Figure("3.2M"),
    ),
    "enas-micro-cifar": PublishedNetwork(
        title="ENAS, micro search space, for CIFAR-10",
        paper="arXiv:1802.03268",
        space=f"nasnet?cells=enas&filters=36&layers=15&stem=108&based=1&{_CIFAR}",
        params=Figure(
            "4.6M", "the authors' own code counts ours less the classifier's bias, 4.39M with the auxiliary head"
        ),
    ),
}
