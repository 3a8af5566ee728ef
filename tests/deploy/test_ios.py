"""The bundle for iPhones: a Core ML package that says and computes what it should, read where nothing runs it."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from deploy.coreml import compile_coreml
from deploy.golden import TOLERANCES, pixels_of, softmax
from deploy.packagers import pack
from deploy.sums import folder_files
from deploy.variant import Candidate, Variant
from deploy.verify import verify
from profilers.artifact import Artifact
from profilers.blocks import build_chain
from profilers.errors import CompileError
from profilers.op_spec import OpSpec
from tests.deploy.mil import classified, program_of
from tests.deploy.small_networks import LABELS, MEAN, STD, Small, contents, small

pytestmark = [
    pytest.mark.skipif(find_spec("coremltools") is None, reason="coremltools has no wheel for this machine"),
    # A conversion that is refused leaves a temporary folder of coremltools to the garbage collector.
    pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning"),
]

RGB = (
    "conv in=8x6x3 out=8 kernel=3 stride=2",
    "mbconv in=4x3x8 out=8 kernel=3 expand=2 se=4 act=hswish",
    "classifier in=4x3x8 out=10",
)


def ending_in_softmax(network: nn.Module) -> nn.Module:
    return nn.Sequential(network, nn.Softmax(dim=1)).eval()


def specification(artifact: Artifact) -> Any:
    from coremltools.models.utils import load_spec

    return load_spec(str(artifact.path))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small(1, tmp_path_factory.mktemp("network"))


def compiled(network: Small, path: Path) -> Artifact:
    example = network.images[:1]
    return compile_coreml(ending_in_softmax(network.module), example, path, labels=LABELS, mean=MEAN, std=STD)


@pytest.fixture(scope="module")
def grey(network: Small, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return compiled(network, tmp_path_factory.mktemp("coreml") / "grey.mlpackage")


@pytest.fixture(scope="module")
def rgb_network() -> nn.Module:
    torch.manual_seed(0)
    return build_chain(tuple(map(OpSpec.parse, RGB))).eval()


@pytest.fixture(scope="module")
def rgb(rgb_network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    path = tmp_path_factory.mktemp("coreml") / "rgb.mlpackage"
    example = torch.zeros(1, 3, 8, 6)
    return compile_coreml(ending_in_softmax(rgb_network), example, path, labels=LABELS, mean=0.5, std=0.25)


def test_the_specification_says_what_the_artifact_says(grey: Artifact, rgb: Artifact) -> None:
    from coremltools.proto import FeatureTypes_pb2

    for artifact, space in ((grey, "GRAYSCALE"), (rgb, "RGB")):
        description = specification(artifact).description
        given = description.input[0]
        _, _, height, width = artifact.inputs[0].shape
        assert (given.name, given.type.imageType.height, given.type.imageType.width) == ("image", height, width)
        assert given.type.imageType.colorSpace == FeatureTypes_pb2.ImageFeatureType.ColorSpace.Value(space)
        assert [each.name for each in description.output] == ["classLabel", artifact.outputs[0].name]
        assert description.predictedFeatureName == "classLabel"
        assert description.predictedProbabilitiesName == artifact.outputs[0].name


def test_the_program_ends_in_a_softmax_of_its_labels_and_has_no_more_than_it_needs(grey: Artifact) -> None:
    operations = [each for each in program_of(grey.path).operations if each.op_type != "const"]
    kinds = [each.op_type for each in operations]
    assert kinds[-3:] == ["softmax", "cast", "classify"]
    assert tuple(operations[-1].inputs["classes"].val) == LABELS
    assert "transpose" not in kinds and "batch_norm" not in kinds
    weights = [each.inputs["weight"].val for each in operations if each.op_type in {"conv", "linear"}]
    assert {str(each.dtype) for each in weights} == {"float16"}


def test_the_program_computes_what_pytorch_computes(network: Small, grey: Artifact) -> None:
    images = network.images[:4]
    pixels = torch.from_numpy(pixels_of(images.numpy(), mean=MEAN, std=STD)).permute(0, 3, 1, 2).float()
    expected = ending_in_softmax(network.module)(images).detach()
    for image, row in zip(pixels, expected, strict=True):
        found = classified(grey.path, image[None])
        assert list(found) == list(LABELS)
        assert list(found.values()) == pytest.approx(row.tolist(), abs=TOLERANCES["fp16"] * float(row.max()))


def test_an_activation_of_two_operations_stays_two(rgb: Artifact) -> None:
    kinds = [each.op_type for each in program_of(rgb.path).operations]
    assert kinds.count("sigmoid_hard") == 3  # two activations and a squeeze-and-excite
    assert "thresholded_relu" not in kinds


def test_three_channels_are_normalised_alike(rgb_network: nn.Module, rgb: Artifact) -> None:
    pixels = torch.randint(0, 256, (1, 3, 8, 6), generator=torch.Generator().manual_seed(2)).float()
    expected = ending_in_softmax(rgb_network)((pixels / 255 - 0.5) / 0.25).detach()[0]
    found = classified(rgb.path, pixels)
    assert list(found.values()) == pytest.approx(expected.tolist(), abs=TOLERANCES["fp16"] * float(expected.max()))


def test_the_same_network_gives_the_same_bytes(network: Small, grey: Artifact, tmp_path: Path) -> None:
    again = compiled(network, tmp_path / "again.mlpackage")
    assert again.sha256 == grey.sha256
    assert folder_files(again.path) == folder_files(grey.path)
    assert again.size_bytes == sum(map(len, folder_files(grey.path).values()))


def test_other_weights_give_other_identifiers(grey: Artifact, rgb: Artifact) -> None:
    first, second = (json.loads((each.path / "Manifest.json").read_text()) for each in (grey, rgb))
    assert first["rootModelIdentifier"] in first["itemInfoEntries"]
    assert not first["itemInfoEntries"].keys() & second["itemInfoEntries"].keys()


def test_a_package_is_replaced_and_nothing_else_is_left(grey: Artifact, rgb_network: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "model.mlpackage"
    shutil.copytree(grey.path, path)
    compile_coreml(rgb_network, torch.zeros(1, 3, 8, 6), path, labels=LABELS, mean=0.5, std=0.5)
    assert specification(replace(grey, path=path)).description.input[0].type.imageType.width == 6
    assert list(tmp_path.iterdir()) == [path]


def test_a_label_that_is_there_twice_is_refused(network: Small, tmp_path: Path) -> None:
    labels = ("cat", *LABELS[1:9], "cat")
    with pytest.raises(CompileError, match="label 'cat' is there twice"):
        compile_coreml(network.module, network.images[:1], tmp_path / "m.mlpackage", labels=labels, mean=MEAN, std=STD)
    assert list(tmp_path.iterdir()) == []


def test_what_the_converter_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    class Strange(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.special.i0(x)  # type: ignore[no-any-return]

    with pytest.raises(CompileError, match=r"^coremltools\.convert refused the module: "):
        compile_coreml(Strange(), torch.zeros(1, 1, 8, 8), tmp_path / "m.mlpackage", labels=LABELS, mean=0.5, std=0.5)


def test_probabilities_of_a_package_sum_to_one(grey: Artifact) -> None:
    found = classified(grey.path, torch.full((1, 1, 8, 8), 128.0))
    assert math.isclose(sum(found.values()), 1, abs_tol=1e-3)


def test_the_bundle_holds_the_package_and_says_that_nothing_ran_it(
    network: Small, grey: Artifact, tmp_path: Path
) -> None:
    variant = Variant(runtime="coreml", precision="fp16", artifact=grey, answers="probabilities")
    bundle = pack("ios", contents(network, Candidate(variant=variant)), tmp_path)
    model = bundle.manifest.model
    assert folder_files(bundle.folder / model.path) == folder_files(grey.path)
    assert (model.measured, model.accuracy, model.golden.ran) == ((), None, False)
    assert "Nothing of it was run or measured" in (bundle.folder / "README.md").read_text()
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    assert "**Unmeasured**" in card and "that last step is inside, and must not be done before" in card
    assert [check.name for check in verify(bundle.folder).checks if not check.done] == ["golden coreml-fp16"]


def test_the_golden_images_of_the_bundle_give_its_golden_outputs(
    network: Small, grey: Artifact, tmp_path: Path
) -> None:
    variant = Variant(runtime="coreml", precision="fp16", artifact=grey, answers="probabilities")
    packed = contents(network, Candidate(variant=variant))
    bundle = pack("ios", packed, tmp_path)
    expected = softmax(packed.golden_logits)
    for number, row in enumerate(expected, 1):
        with Image.open(bundle.folder / f"Tests/golden/image-{number}.png") as image:
            pixels = torch.from_numpy(np.array(image, dtype=np.float32))[None, None]
        found = list(classified(bundle.folder / bundle.manifest.model.path, pixels).values())
        assert found == pytest.approx(row.tolist(), abs=bundle.manifest.model.golden.tolerance)


def test_the_swift_of_the_bundle_names_what_the_package_has(network: Small, grey: Artifact, tmp_path: Path) -> None:
    variant = Variant(runtime="coreml", precision="fp16", artifact=grey, answers="probabilities")
    bundle = pack("ios", contents(network, Candidate(variant=variant)), tmp_path)
    sources = "".join(path.read_text() for path in bundle.folder.rglob("*.swift"))
    description = specification(grey).description
    assert f'inputDescriptionsByName["{description.input[0].name}"]' in sources
    assert f'featureValue(for: "{description.predictedProbabilitiesName}")' in sources
    for name in ("MillisClassifier", "outputs-coreml-fp16.bin", "image-", "labels.txt"):
        assert name in sources and any(name in path.name for path in bundle.folder.rglob("*"))
