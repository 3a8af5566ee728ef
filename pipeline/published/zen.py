"""Zen-NAS's networks, for ImageNet and CIFAR."""

from __future__ import annotations

from pipeline.published.network import Figure, PublishedNetwork

_NORM = "the authors add two for each element that batch normalisation gives"
_WITHOUT_SE = "squeeze-excite, which its weights have, is not counted by the authors nor built here: zennet?se=1 has it"


def _kernels(*stages: tuple[int, int]) -> str:
    """The labels of stages, each a kernel and how many blocks have it."""
    return "\n".join(" ".join([f"k{kernel}"] * blocks) for kernel, blocks in stages)


ZEN: dict[str, PublishedNetwork] = {
    "zennet-400m": PublishedNetwork(
        title="ZenNet-400M",
        paper="arXiv:2102.01063",
        space="zennet",
        labels=_kernels((7, 2), (7, 2), (7, 10), (7, 10)),
        params=Figure("5.7M"),
        macs=Figure("410M", f"{_NORM}, which makes 409M; the rest is not known"),
        counted=_WITHOUT_SE,
    ),
    "zennet-600m": PublishedNetwork(
        title="ZenNet-600M",
        paper="arXiv:2102.01063",
        space="zennet?stem=24&widths=48,72,96,192&bottlenecks=48,72,88,168&expands=1,2,6,4",
        labels=_kernels((7, 2), (7, 2), (7, 10), (7, 10)),
        params=Figure("7.1M"),
        macs=Figure("611M", _NORM),
        counted=_WITHOUT_SE,
    ),
    "zennet-900m": PublishedNetwork(
        title="ZenNet-900M, with squeeze-excite",
        paper="arXiv:2102.01063",
        space="zennet?widths=48,72,152,360,288&bottlenecks=72,64,144,352,264"
        "&depths=1,3,3,4,3&strides=2,2,2,2,1&expands=1,2,2,2,4&se=1",
        labels=_kernels((7, 2), (7, 6), (7, 6), (7, 8), (7, 6)),
        params=Figure("19.4M"),
        macs=Figure("934M", f"{_NORM}, which makes 931M; the rest is not known"),
        counted="MACs of squeeze-excite are counted",
    ),
    "zennet-cifar-0.5m": PublishedNetwork(
        title="ZenNet for CIFAR, 0.5M parameters",
        paper="arXiv:2102.01063",
        space="zennet?resolution=32&classes=10&stem=64&stem_stride=1&widths=168,80,112,144,32"
        "&bottlenecks=16,32,16,24,40&depths=3,4,3,3,1&strides=1,2,2,1,2&expands=1,1,1,1,1&depthwise=0&head=512",
        labels=_kernels((5, 6), (3, 8), (5, 6), (5, 6), (3, 2)),
        params=Figure("0.5M"),
        macs=Figure("140M", _NORM),
    ),
    "zennet-cifar-1m": PublishedNetwork(
        title="ZenNet for CIFAR, 1M parameters",
        paper="arXiv:2102.01063",
        space="zennet?resolution=32&classes=10&stem=88&stem_stride=1&widths=120,192,224,96,168,112"
        "&bottlenecks=16,16,24,24,40,48&depths=1,3,4,2,3,3&strides=1,2,1,2,2,1&expands=1,1,1,1,1,1&depthwise=0&head=512",
        labels=_kernels((7, 2), (7, 6), (5, 8), (5, 4), (3, 6), (3, 6)),
        params=Figure("1.0M"),
        macs=Figure("162M", _NORM),
    ),
    "zennet-cifar-2m": PublishedNetwork(
        title="ZenNet for CIFAR, 2M parameters",
        paper="arXiv:2102.01063",
        space="zennet?resolution=32&classes=10&stem=32&stem_stride=1&widths=120,176,272,176,176,216,72"
        "&bottlenecks=40,32,24,56,64,40,56&depths=1,3,3,3,4,2,2&strides=1,2,1,1,1,2,2&expands=1,1,1,1,1,1,1"
        "&depthwise=0&head=512",
        labels=_kernels((5, 2), (5, 6), (7, 6), (3, 6), (3, 8), (5, 4), (3, 4)),
        params=Figure("2.0M"),
        macs=Figure("487M", _NORM),
    ),
}
