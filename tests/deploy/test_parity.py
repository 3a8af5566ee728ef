from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from deploy.errors import ParityError
from deploy.parity import FP32_TOLERANCE, check_parity
from profilers.artifact import Artifact
from profilers.runtimes import load_runtime


@pytest.mark.parametrize(("fixture", "runtime"), [("onnx", "onnxruntime"), ("tflite", "litert")])
def test_an_exported_file_computes_what_pytorch_computes(
    fixture: str, runtime: str, network: nn.Module, images: Tensor, request: pytest.FixtureRequest
) -> None:
    artifact = request.getfixturevalue(fixture)
    parity = check_parity(network, artifact, load_runtime(runtime), images, tolerance=FP32_TOLERANCE)
    assert parity.images == len(images)
    assert parity.max_abs_difference <= FP32_TOLERANCE * parity.max_abs_logit
    assert parity.top1_agreement == 1.0


def test_the_file_of_another_network_is_an_error_with_figures(
    network: nn.Module, onnx: Artifact, images: Tensor
) -> None:
    other = copy.deepcopy(network)
    with torch.no_grad():
        other[-1].linear.bias[3] += 0.5  # type: ignore[index]
    with pytest.raises(ParityError, match=r"m\.onnx: onnxruntime differs from PyTorch by 0\.5 .* of 48 images"):
        check_parity(other, onnx, load_runtime("onnxruntime"), images, tolerance=1e-2)


def test_a_difference_that_is_not_a_number_is_an_error(network: nn.Module, onnx: Artifact, images: Tensor) -> None:
    with pytest.raises(ParityError, match="by nan"):
        check_parity(network, onnx, load_runtime("onnxruntime"), images * float("nan"), tolerance=FP32_TOLERANCE)


def test_the_tolerance_is_relative_to_the_logits(network: nn.Module, onnx: Artifact, images: Tensor) -> None:
    shifted = copy.deepcopy(network)
    with torch.no_grad():
        shifted[-1].linear.bias[3] += 0.5  # type: ignore[index]
    parity = check_parity(shifted, onnx, load_runtime("onnxruntime"), images, tolerance=1.0)
    enough = 1.001 * parity.max_abs_difference / parity.max_abs_logit
    check_parity(shifted, onnx, load_runtime("onnxruntime"), images, tolerance=enough)


def test_parity_leaves_a_network_in_training_as_it_was(network: nn.Module, onnx: Artifact, images: Tensor) -> None:
    training = copy.deepcopy(network).train()
    before = {name: value.clone() for name, value in training.state_dict().items()}
    check_parity(training, onnx, load_runtime("onnxruntime"), images, tolerance=FP32_TOLERANCE)
    assert all(module.training for module in training.modules())
    assert all(value.equal(before[name]) for name, value in training.state_dict().items())


def test_parity_on_no_image_is_an_error(network: nn.Module, onnx: Artifact, images: Tensor) -> None:
    with pytest.raises(ParityError, match="at least one image"):
        check_parity(network, onnx, load_runtime("onnxruntime"), images[:0], tolerance=FP32_TOLERANCE)


def test_other_numbers_of_classes_are_an_error(network: nn.Module, onnx: Artifact, images: Tensor) -> None:
    fewer = nn.Sequential(network, nn.Linear(10, 7))
    with pytest.raises(ParityError, match="gives 48x10 where PyTorch gives 48x7"):
        check_parity(fewer, onnx, load_runtime("onnxruntime"), images, tolerance=FP32_TOLERANCE)
