"""Networks for phones: MobileNetV2, ProxylessNAS, UNAS, MnasNet, FBNet, Once-for-All."""

from __future__ import annotations

from pipeline.published.network import Figure, PublishedNetwork

_POOL = "the authors add the sums of the last pool, one for each of its inputs"
_FBNET = "blocks of expansion 1 have no first convolution, as in the authors' code: fbnet?pointwise=1 is the paper's"
_OFA = "MACs of squeeze-excite are counted, as by the authors"

MOBILE: dict[str, PublishedNetwork] = {
    "mobilenet-v2": PublishedNetwork(
        title="MobileNetV2",
        paper="arXiv:1801.04381",
        space="proxyless-mobile?widths=24,32,64,96,160,320&depths=2,3,4,3,3,1",
        labels="""
            k3e6 k3e6
            k3e6 k3e6 k3e6
            k3e6 k3e6 k3e6 k3e6
            k3e6 k3e6 k3e6
            k3e6 k3e6 k3e6
            k3e6
        """,
        params=Figure("3.5M"),
        macs=Figure("300M"),
    ),
    "proxylessnas-mobile": PublishedNetwork(
        title="ProxylessNAS for a phone, Pixel 1",
        paper="arXiv:1812.00332",
        space="proxyless-mobile?widths=32,40,80,96,192,320",
        labels="""
            k5e3 k3e3 identity identity
            k7e3 k3e3 k5e3 k5e3
            k7e6 k5e3 k5e3 k5e3
            k5e6 k5e3 k5e3 k5e3
            k7e6 k7e6 k7e3 k7e3
            k7e6
        """,
        params=Figure("4.08M"),
        macs=Figure("320.4M"),
    ),
    "proxylessnas-cpu": PublishedNetwork(
        title="ProxylessNAS for a server CPU",
        paper="arXiv:1812.00332",
        space="proxyless-mobile?stem=40&first=24&widths=32,48,88,104,216,360&head=1432",
        labels="""
            k3e6 k3e3 k3e3 k3e3
            k3e6 k3e3 k3e3 k5e3
            k3e6 identity identity k3e3
            k5e6 k3e3 k3e3 k3e3
            k5e6 k5e3 k5e3 k3e3
            k5e6
        """,
        params=Figure("4.36M"),
        macs=Figure("439.2M"),
    ),
    "unas-mobile": PublishedNetwork(
        title="UNAS in ProxylessNAS's space",
        paper="arXiv:1912.07651",
        space="proxyless-mobile?stem=40&first=24&widths=32,56,112,128,256,432&head=1728",
        labels="""
            k5e3 k3e3 identity identity
            k7e3 identity identity identity
            k7e3 k3e3 k3e3 k3e3
            k5e3 k3e3 k3e3 k3e3
            k7e6 k7e3 k7e3 k7e3
            k7e6
        """,
    ),
    "mnasnet-a1": PublishedNetwork(
        title="MnasNet-A1, with squeeze-excite",
        paper="arXiv:1807.11626",
        space="mnasnet?depths=2,3,4,2,3,1",
        labels="""
            k3e6 k3e6
            k5e3se6 k5e3se10 k5e3se10
            k3e6 k3e6 k3e6 k3e6
            k3e6se20 k3e6se28
            k5e6se28 k5e6se40 k5e6se40
            k3e6
        """,
        params=Figure("3.9M"),
        macs=Figure("312M"),
        counted="squeeze-excite has a quarter of the block's input channels; its MACs are counted",
    ),
    "mnasnet-b1": PublishedNetwork(
        title="MnasNet-B1, without squeeze-excite",
        paper="arXiv:1807.11626",
        space="mnasnet?widths=24,40,80,96,192,320&depths=3,3,3,2,4,1&se=0",
        labels="""
            k3e3 k3e3 k3e3
            k5e3 k5e3 k5e3
            k5e6 k5e6 k5e6
            k3e6 k3e6
            k5e6 k5e6 k5e6 k5e6
            k3e6
        """,
        params=Figure("4.4M"),
        macs=Figure("315M", "0.2% more than convolutions and linear layers: not known what else is counted"),
    ),
    "fbnet-a": PublishedNetwork(
        title="FBNet-A",
        paper="arXiv:1812.03443",
        space="fbnet",
        labels="""
            identity
            k3e3 k3e1 identity identity
            k5e6 k3e3 k5e1 k3e3
            k5e6 k5e3 k5e1g2 k5e6
            k3e6 k5e1g2 k5e3 k3e1g2
            k5e6 k5e6 k5e3 k5e6
            k5e6
        """,
        params=Figure("4.3M"),
        macs=Figure("244.5M"),
        counted=f"{_FBNET}; groups are those of the last convolution",
    ),
    "fbnet-b": PublishedNetwork(
        title="FBNet-B, for a Samsung S8",
        paper="arXiv:1812.03443",
        space="fbnet?head=1984",
        labels="""
            k3e1
            k3e6 k5e1 k3e1 k3e1
            k5e6 k5e3 k3e6 k5e6
            k5e6 k5e6 identity k5e3
            k5e6 k3e1 k5e1 k5e3
            k5e6 k5e1 k5e6 k5e6
            k3e6
        """,
        params=Figure("4.8M"),
        macs=Figure("291.1M", _POOL),
        counted=f"{_FBNET}; the paper's figure draws k5e1 as the second block of width 64, the code has k5e6",
    ),
    "fbnet-c": PublishedNetwork(
        title="FBNet-C",
        paper="arXiv:1812.03443",
        space="fbnet?head=1984",
        labels="""
            k3e1
            k3e6 identity k3e1 k3e1
            k5e6 k5e3 k5e6 k3e6
            k5e6 k5e3 k5e6 k5e6
            k5e6 k5e6 k5e6 k5e3
            k5e6 k5e6 k5e6 k5e6
            k3e6
        """,
        params=Figure("5.5M"),
        macs=Figure("378.2M", _POOL),
        counted=_FBNET,
    ),
    "ofa-flops-389m": PublishedNetwork(
        title="Once-for-All, 79.1% top-1",
        paper="arXiv:1908.09791",
        space="mobilenet-v3?width=1.2",
        labels="""
            k3e3 k3e3 identity identity
            k5e3se24 k5e6se72 k3e3se40 identity
            k5e4 k5e4 k3e3 identity
            k5e6se144 k5e4se136 k3e4se136 k3e4se136
            k3e6se208 k3e6se288 k7e6se288 k3e3se144
        """,
        macs=Figure("389M"),
        counted=_OFA,
    ),
    "ofa-flops-482m": PublishedNetwork(
        title="Once-for-All, 79.6% top-1",
        paper="arXiv:1908.09791",
        space="mobilenet-v3?width=1.2",
        labels="""
            k5e3 k3e3 k3e3 identity
            k5e4se32 k3e4se48 k5e4se48 k3e3se40
            k5e4 k5e6 k3e3 k3e3
            k5e6se144 k7e6se208 k3e6se208 k5e4se136
            k7e6se208 k3e6se288 k3e6se288 k3e3se144
        """,
        macs=Figure("482M"),
        counted=_OFA,
    ),
    "ofa-flops-595m": PublishedNetwork(
        title="Once-for-All, 80.0% top-1, 236x236",
        paper="arXiv:1908.09791",
        space="mobilenet-v3?resolution=236&width=1.2",
        labels="""
            k3e3 k5e4 k3e3 identity
            k5e4se32 k5e4se48 k3e6se72 k5e3se40
            k7e6 k5e6 k3e3 k5e4
            k3e6se144 k5e6se208 k7e6se208 k3e4se136
            k3e6se208 k3e6se288 k5e6se288 k3e3se144
        """,
        macs=Figure("595M"),
        counted=_OFA,
    ),
    "ofa-note10-30ms": PublishedNetwork(
        title="Once-for-All for a Samsung Note 10 at 30 ms",
        paper="arXiv:1908.09791",
        space="mobilenet-v3?width=1.2",
        labels="""
            k3e3 k3e3 identity identity
            k5e4se32 k3e3se40 k3e4se48 identity
            k5e4 k5e4 k3e3 identity
            k3e6se144 k3e4se136 k3e4se136 identity
            k3e6se208 k3e6se288 k3e4se192 k3e3se144
        """,
        counted=_OFA,
    ),
}
