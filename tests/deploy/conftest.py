"""A small network, compiled once for each runtime and precision that a test asks for, and the bundles made of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deploy.bundle import Bundle
from deploy.manifest import MANIFEST, Accuracy, Data, Measured, Network
from deploy.packager import BundleContents
from deploy.packagers import pack
from deploy.parity import measure_parity, reference_outputs
from deploy.sums import SUMS, checksums, sha256
from deploy.variant import Candidate, Variant, Verdict
from profilers.artifact import Artifact
from profilers.blocks import build_chain
from profilers.compile_cache import CompileJob
from profilers.op_spec import OpSpec
from profilers.precision import Precision
from profilers.protocol import protocol_named
from profilers.runtimes import load_runtime
from profilers.target import Target
from tests.deploy.small_networks import own_copy

MEAN, STD = 0.3, 0.25
SPECS = tuple(
    OpSpec.parse(text)
    for text in (
        "conv in=8x8x1 out=8 kernel=3",
        "mbconv in=8x8x8 out=8 kernel=5 expand=2",
        "classifier in=8x8x8 out=10",
    )
)
VALIDATION = {"fp32": 118, "fp16": 118, "int8": 117}  # right of 120
MS: dict[Precision, float] = {"fp32": 0.42, "fp16": 0.40, "int8": 0.25}

MakeVariant = Callable[[str, Precision], Variant]
MakeContents = Callable[..., BundleContents]


@pytest.fixture(scope="session")
def network() -> nn.Module:
    """8x8 grey images -> ten logits, with batch statistics that are not the initial ones."""
    torch.manual_seed(0)
    network = build_chain(SPECS)
    network(torch.randn(16, 1, 8, 8))
    return network.eval()


@pytest.fixture(scope="session")
def images() -> Tensor:
    """48 normalised images [N, 1, 8, 8]."""
    pixels = torch.randint(0, 256, (48, 1, 8, 8), generator=torch.Generator().manual_seed(1))
    return (pixels / 255 - MEAN) / STD


@pytest.fixture(scope="session")
def variant(network: nn.Module, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> MakeVariant:
    """`variant("litert", "int8")` is the network as that file, float32 at its edges, a softmax in LiteRT's."""

    @cache
    def make(runtime: str, precision: Precision) -> Variant:
        by, gives_logits = load_runtime(runtime), runtime == "onnxruntime"
        module = network if gives_logits else nn.Sequential(network, nn.Softmax(dim=1)).eval()
        job = CompileJob(runtime, module, images[:1], precision, images, float_edges=True)
        artifact = own_copy(job, tmp_path_factory.mktemp(f"{runtime}-{precision}"), "m")
        return Variant(
            runtime=runtime,
            precision=precision,
            artifact=artifact,
            answers="logits" if gives_logits else "probabilities",
            parity=measure_parity(module, artifact, by, images),
            validation=Accuracy.of(correct=VALIDATION[precision], images=120),
            test=Accuracy.of(correct=350, images=360),
        )

    return make


@pytest.fixture(scope="session")
def onnx(variant: MakeVariant) -> Artifact:
    return variant("onnxruntime", "fp32").artifact


@pytest.fixture(scope="session")
def tflite(network: nn.Module, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Without the softmax that a bundle's has."""
    return load_runtime("litert").compile(network, images[:1], tmp_path_factory.mktemp("tflite") / "m.tflite")


def measured(runtime: str, precision: Precision) -> Measured:
    return Measured(
        target=str(Target(runtime=runtime, precision=precision, threads=2)),
        runtime=runtime,
        runtime_version="1.23.0",
        threads=2,
        precision=precision,
        budget_ms=0.5,
        predicted_ms=0.41 if precision == "fp32" else None,
        measured_ms=MS[precision],
        p90_ms=0.47,
        spread=0.012,
        samples=1234,
        protocol=protocol_named("quick").describe(),
        device={"cpu": "Imaginary 3000", "governor": "performance"},
    )


def shipped(variant: Variant, *, is_measured: bool = True) -> Verdict:
    found = (measured(variant.runtime, variant.precision),) if is_measured else ()
    return Verdict(candidate=Candidate(variant=variant, measured=found), shipped=True, reason=f"{variant.name} is fit")


def left_out(variant: Variant) -> Verdict:
    found = (measured(variant.runtime, variant.precision),)
    return Verdict(candidate=Candidate(variant=variant, measured=found), shipped=False, reason="slower than fp32")


@pytest.fixture(scope="session")
def contents(network: nn.Module, images: Tensor) -> MakeContents:
    """`contents(verdict, …)`: what a packager makes a bundle of, the file to use first."""

    def make(*verdicts: Verdict) -> BundleContents:
        return BundleContents(
            name="test",
            verdicts=verdicts,
            max_accuracy_drop=0.5,
            labels=tuple(f"digit {i}" for i in range(10)),
            mean=MEAN,
            std=STD,
            golden_images=images[:4].numpy(),
            golden_logits=reference_outputs(network, images[:4]),
            network=Network(
                space="tiny",
                choices={"block1": "k5e2"},
                params=sum(spec.params for spec in SPECS),
                macs=sum(spec.macs for spec in SPECS),
            ),
            accuracy=Accuracy.of(correct=355, images=360),
            versions={"millis": "0.1.0", "torch": "2.14.1"},
            data=Data(name="noise", description="random pixels", licence="CC0"),
        )

    return make


@pytest.fixture(scope="session")
def server_contents(contents: MakeContents, variant: MakeVariant) -> BundleContents:
    return contents(shipped(variant("onnxruntime", "int8")), shipped(variant("onnxruntime", "fp32")))


@pytest.fixture(scope="session")
def gpu_contents(contents: MakeContents, variant: MakeVariant) -> BundleContents:
    """As where there is no GPU to measure on."""
    return contents(shipped(variant("onnxruntime", "fp16"), is_measured=False))


@pytest.fixture(scope="session")
def android_contents(contents: MakeContents, variant: MakeVariant) -> BundleContents:
    return contents(shipped(variant("litert", "fp32")), left_out(variant("litert", "int8")))


@pytest.fixture(scope="session")
def packed_once(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """A bundle of that kind, packed once."""

    @cache
    def make(name: str) -> Bundle:
        fixture = {"server-cpu": "server_contents", "server-gpu": "gpu_contents", "android": "android_contents"}[name]
        return pack(name, request.getfixturevalue(fixture), tmp_path_factory.mktemp(name))

    return make


def _own(made: Bundle, folder: Path) -> Bundle:
    """A copy, for a test to damage."""
    shutil.copytree(made.folder.parent, folder, dirs_exist_ok=True)
    return replace(made, folder=folder / made.folder.name, archive=folder / made.archive.name)


@pytest.fixture
def server(packed_once: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    return _own(packed_once("server-cpu"), tmp_path)


@pytest.fixture
def gpu(packed_once: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    return _own(packed_once("server-gpu"), tmp_path)


@pytest.fixture
def android(packed_once: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    return _own(packed_once("android"), tmp_path)


@pytest.fixture(params=["server-cpu", "server-gpu", "android"])
def bundle(request: pytest.FixtureRequest, packed_once: Callable[[str], Bundle], tmp_path: Path) -> Bundle:
    """Bundles of several kinds in turn."""
    return _own(packed_once(request.param), tmp_path)


@pytest.fixture
def forge() -> Callable[[Path, Callable[[dict[str, Any]], None]], None]:
    """`forge(folder, edit)` edits the manifest and brings every checksum in line: a bundle wrong in itself."""

    def apply(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
        path = folder / MANIFEST
        document = json.loads(path.read_text())
        for record in document["files"]:
            data = (folder / record["path"]).read_bytes()
            record |= {"sha256": sha256(data), "size_bytes": len(data)}
        sizes = {record["path"]: record["size_bytes"] for record in document["files"]}
        for model in document["models"]:
            model["size_bytes"] = sizes[model["path"]]
        edit(document)
        path.write_text(json.dumps(document))
        digests = {record["path"]: record["sha256"] for record in document["files"]}
        digests[MANIFEST] = sha256(path.read_bytes())
        (folder / SUMS).write_text(checksums(digests))

    return apply
