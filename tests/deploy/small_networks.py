"""Small networks of grey and of RGB images, compiled as bundles want them, and the contents made of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from deploy.manifest import Accuracy, Data, Measured, Network
from deploy.packager import BundleContents
from deploy.variant import Candidate, Variant, Verdict
from profilers.artifact import Artifact
from profilers.blocks import build_chain
from profilers.compile_cache import CompileJob, compile_all
from profilers.op_spec import OpSpec
from profilers.precision import Precision

SIZE, MEAN, STD = 8, 0.3, 0.25
LABELS = tuple(f"digit {i}" for i in range(10))
SNAPDRAGON = {"soc_manufacturer": "QTI", "soc": "SM8750", "affinity": "6,7", "flags": "--use_xnnpack=true"}
DIMENSITY = {"soc_manufacturer": "Mediatek", "soc": "MT6991", "affinity": "not pinned", "flags": "--use_xnnpack=true"}


@dataclass(frozen=True, slots=True)
class Small:
    """A network, real images for it, normalised [N, C, 8, 8], and its compiled files by their names."""

    channels: int
    module: nn.Module
    images: Tensor
    variants: dict[str, Variant]


def small(channels: int, folder: Path, *names: str) -> Small:
    """With the named files: `litert-int8` and so on."""
    torch.manual_seed(channels)
    module = build_chain(tuple(map(OpSpec.parse, _specs(channels))))
    images = (_pixels(channels) / 255 - MEAN) / STD
    module(images)  # batch statistics that are not the initial ones
    module.eval()
    variants = {name: _variant(module, images, name, folder) for name in names}
    return Small(channels, module, images, variants)


def contents(network: Small, *candidates: Candidate) -> BundleContents:
    """Contents that ship the candidates, the first as the one to use."""
    golden = network.images[:5]
    with torch.no_grad():
        logits = network.module(golden)
    return BundleContents(
        name="test",
        verdicts=tuple(Verdict(candidate=each, shipped=True, reason="measured and chosen") for each in candidates),
        max_accuracy_drop=0.5,
        labels=LABELS,
        mean=MEAN,
        std=STD,
        golden_images=golden.numpy(),
        golden_logits=logits.numpy(),
        network=Network(space="tiny", choices={"block1": "k5e2"}, params=1, macs=1),
        accuracy=Accuracy.of(correct=355, images=360),
        versions={"millis": "0.1.0"},
        data=Data(name="digits", description="handwritten digits", licence="CC0"),
    )


def candidate(variant: Variant, *measured: tuple[str, float, dict[str, str]]) -> Candidate:
    """What was measured as (target, ms, facts of the device)."""
    return Candidate(variant=variant, measured=tuple(_measured(variant, *each) for each in measured))


def local(variant: Variant, ms: float = 0.42) -> Candidate:
    return candidate(variant, (f"local:{variant.runtime}", ms, {}))


def rgb_pixels(network: Small, count: int = 5) -> np.ndarray:
    """The images as programs have them that know RGB only: uint8 [N, 8, 8, 3]."""
    pixels = ((network.images[:count] * STD + MEAN) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return pixels.expand(-1, -1, -1, 3).contiguous().numpy()


def _specs(channels: int) -> tuple[str, ...]:
    return (
        f"conv in={SIZE}x{SIZE}x{channels} out=8 kernel=3",
        f"mbconv in={SIZE}x{SIZE}x8 out=8 kernel=5 expand=2",
        f"classifier in={SIZE}x{SIZE}x8 out=10",
    )


def _pixels(channels: int) -> Tensor:
    """48 handwritten digits, or parts of a photograph of a flower."""
    from sklearn.datasets import load_digits, load_sample_image

    if channels == 1:
        return torch.from_numpy(load_digits().images[:48]).float().mul(255 / 16).round().unsqueeze(1)
    photo = torch.from_numpy(np.array(load_sample_image("flower.jpg"))).float().permute(2, 0, 1)
    places = [(40 * row, 60 * column) for row in range(6) for column in range(8)]
    return torch.stack([photo[:, y : y + 4 * SIZE : 4, x : x + 4 * SIZE : 4] for y, x in places])


def _variant(module: nn.Module, images: Tensor, name: str, folder: Path) -> Variant:
    runtime, _, precision = name.partition("-")
    wanted: Precision = "int8" if precision == "int8" else "fp16" if precision == "fp16" else "fp32"
    answers = runtime == "litert"
    network = nn.Sequential(module, nn.Softmax(dim=1)) if answers else module
    job = CompileJob(runtime, network.eval(), images[:1], wanted, images, float_edges=True)
    artifact = own_copy(job, folder, name)
    return Variant(
        runtime=runtime, precision=wanted, artifact=artifact, answers="probabilities" if answers else "logits"
    )


def own_copy(job: CompileJob, folder: Path, name: str) -> Artifact:
    """What any test converted before, under a name of its own."""
    kept = compile_all({name: job})[name]
    path = folder / f"{name}.{kept.format}"
    shutil.copyfile(kept.path, path)
    return replace(kept, path=path)


def _measured(variant: Variant, target: str, ms: float, device: dict[str, str]) -> Measured:
    return Measured(
        target=target,
        runtime=variant.runtime,
        runtime_version="2.3.0",
        threads=2,
        precision=variant.precision,
        budget_ms=1.0,
        predicted_ms=None,
        measured_ms=ms,
        p90_ms=1.1 * ms,
        spread=0.01,
        samples=100,
        protocol="5 rounds in random order",
        device=device,
    )
