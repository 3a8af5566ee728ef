"""Modules as if trained, compiled once by both runtimes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from profilers.artifact import Artifact
from profilers.blocks import build_chain
from profilers.compile_cache import CompileJob, compile_all
from profilers.op_spec import OpSpec
from profilers.runtimes import RUNTIMES

CHAINS = {
    "conv": ("conv in=9x9x3 out=8 kernel=3 stride=2",),
    "mbconv": ("mbconv in=8x8x8 out=8 kernel=5 expand=3 act=hswish se=4",),
    "classifier": ("classifier in=4x4x8 out=10",),
    "network": (
        "conv in=16x16x3 out=8 kernel=3 stride=2",
        "mbconv in=8x8x8 out=8 kernel=3 expand=3",
        "mbconv in=8x8x8 out=12 kernel=5 stride=2 expand=2 act=hswish se=4",
        "conv in=4x4x12 out=16",
        "classifier in=4x4x16 out=10",
    ),
}


def image(chain: str, batch: int = 1) -> Tensor:
    """Noise of the chain's input shape, [N, C, H, W]."""
    height, width, channels = OpSpec.parse(CHAINS[chain][0]).in_shape
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(2))


def trained(chain: str) -> nn.Module:
    """The chain's module, its weights and batch statistics away from their start, as training leaves them."""
    generator = torch.Generator().manual_seed(1)
    module = build_chain(tuple(map(OpSpec.parse, CHAINS[chain]))).eval()
    for layer in module.modules():
        for name, value in (*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)):
            if isinstance(layer, nn.BatchNorm2d) and value.is_floating_point():
                value.data.uniform_(0.5, 1.5, generator=generator)
            elif name in {"weight", "bias"}:
                value.data.normal_(0, value[0].numel() ** -0.5, generator=generator)
    return module


@pytest.fixture(scope="session")
def modules() -> dict[str, nn.Module]:
    return {chain: trained(chain) for chain in CHAINS}


@pytest.fixture(scope="session")
def jobs(modules: dict[str, nn.Module]) -> dict[str, CompileJob]:
    """By runtime and chain: `litert conv`."""
    return {
        f"{runtime} {chain}": CompileJob(runtime, module, image(chain))
        for runtime in RUNTIMES
        for chain, module in modules.items()
    }


@pytest.fixture(scope="session")
def compiled(jobs: dict[str, CompileJob]) -> dict[str, Artifact]:
    """The compiled jobs."""
    return compile_all(jobs)
