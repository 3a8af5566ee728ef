"""A small network, compiled once by each runtime, and the bundles made of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from deploy.bundle import SUMS, Bundle, BundleContents, checksums
from deploy.manifest import MANIFEST, Accuracy, Data, Measured, Network
from deploy.packagers import pack
from deploy.parity import FP32_TOLERANCE, check_parity
from profilers.artifact import Artifact
from profilers.blocks import build_chain
from profilers.op_spec import OpSpec
from profilers.runtimes import load_runtime

MEAN, STD = 0.3, 0.25
SPECS = tuple(
    OpSpec.parse(text)
    for text in (
        "conv in=8x8x1 out=8 kernel=3",
        "mbconv in=8x8x8 out=8 kernel=5 expand=2",
        "classifier in=8x8x8 out=10",
    )
)


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
def onnx(network: nn.Module, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return load_runtime("onnxruntime").compile(network, images[:1], tmp_path_factory.mktemp("onnx") / "m.onnx")


@pytest.fixture(scope="session")
def tflite(network: nn.Module, images: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return load_runtime("litert").compile(network, images[:1], tmp_path_factory.mktemp("tflite") / "m.tflite")


def _contents(network: nn.Module, artifact: Artifact, runtime: str, images: Tensor) -> BundleContents:
    parity = check_parity(network, artifact, load_runtime(runtime), images, tolerance=FP32_TOLERANCE)
    return BundleContents(
        name="test",
        artifact=artifact,
        labels=tuple(f"digit {i}" for i in range(10)),
        mean=MEAN,
        std=STD,
        golden_images=images[:4].numpy(),
        network=Network(
            space="tiny",
            choices={"block1": "k5e2"},
            params=sum(spec.params for spec in SPECS),
            macs=sum(spec.macs for spec in SPECS),
        ),
        measured=Measured(
            target=f"local:{runtime}?threads=2",
            runtime=runtime,
            runtime_version="1.23.0",
            threads=2,
            precision="fp32",
            budget_ms=0.5,
            predicted_ms=0.41,
            measured_ms=0.42,
            p90_ms=0.47,
            spread=0.012,
            samples=1234,
            protocol="5 rounds in random order",
            device={"cpu": "Imaginary 3000", "governor": "performance"},
        ),
        accuracy=Accuracy.of(correct=355, images=360),
        parity=parity,
        versions={"millis": "0.1.0", "torch": "2.14.1"},
        data=Data(name="noise", description="random pixels", licence="CC0"),
    )


@pytest.fixture(scope="session")
def server_contents(network: nn.Module, onnx: Artifact, images: Tensor) -> BundleContents:
    return _contents(network, onnx, "onnxruntime", images)


@pytest.fixture(scope="session")
def android_contents(network: nn.Module, tflite: Artifact, images: Tensor) -> BundleContents:
    return _contents(network, tflite, "litert", images)


@pytest.fixture
def server(server_contents: BundleContents, tmp_path: Path) -> Bundle:
    return pack("server-cpu", server_contents, tmp_path)


@pytest.fixture
def android(android_contents: BundleContents, tmp_path: Path) -> Bundle:
    return pack("android", android_contents, tmp_path)


@pytest.fixture(params=["server-cpu", "android"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """Each kind of bundle in turn."""
    made: Bundle = request.getfixturevalue("server" if request.param == "server-cpu" else "android")
    return made


@pytest.fixture
def forge() -> Callable[[Path, Callable[[dict[str, Any]], None]], None]:
    """`forge(folder, edit)` edits the manifest and brings every checksum in line: a bundle wrong in itself."""

    def apply(folder: Path, edit: Callable[[dict[str, Any]], None]) -> None:
        path = folder / MANIFEST
        document = json.loads(path.read_text())
        for record in document["files"]:
            data = (folder / record["path"]).read_bytes()
            record |= {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
        edit(document)
        path.write_text(json.dumps(document))
        digests = {record["path"]: record["sha256"] for record in document["files"]}
        digests[MANIFEST] = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / SUMS).write_text(checksums(digests))

    return apply
