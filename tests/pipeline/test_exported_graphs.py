"""What stands in the files that are shipped, counted: nothing that a network like MobileNetV2 does not need.

One mean and one deviation for all channels normalise an image before the network, so there is nothing to fold: the
first operation of a float file is the first convolution, on the image itself.
"""

from __future__ import annotations

from collections import Counter

import onnx
import pytest
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import nn

from deploy.kind import Kind
from pipeline.shipping import shipped_job
from profilers.artifact import Artifact
from profilers.blocks import MBConvBlock
from profilers.compile_cache import compile_all
from profilers.graph import Graph
from profilers.op_spec import OpSpec
from profilers.precision import Precision

CHAIN = Graph.chain(
    OpSpec.parse(text)
    for text in (
        "conv in=16x16x3 out=8 kernel=3 stride=2",
        "mbconv in=8x8x8 out=8 kernel=3 expand=1",
        "mbconv in=8x8x8 out=12 kernel=3 stride=2 expand=6",
        "mbconv in=4x4x12 out=12 kernel=5 expand=6",
        "conv in=4x4x12 out=32 kernel=1",
        "classifier in=4x4x32 out=10",
    )
)
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
ONNX = [Kind("onnxruntime", precision) for precision in PRECISIONS]
LITERT = [Kind("litert", precision) for precision in PRECISIONS]
of_onnx = pytest.mark.parametrize("kind", ONNX, ids=lambda kind: kind.name)
of_litert = pytest.mark.parametrize("kind", LITERT, ids=lambda kind: kind.name)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """Its weights and batch statistics away from their start, so that nothing folds away by chance."""
    torch.manual_seed(0)
    network = CHAIN.module()
    network(torch.randn(16, 3, 16, 16))
    return network.eval()


@pytest.fixture(scope="module")
def files(network: nn.Module) -> dict[Kind, Artifact]:
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    made = compile_all({kind.name: shipped_job(CHAIN, kind, network, images) for kind in (*ONNX, *LITERT)})
    return {kind: made[kind.name] for kind in (*ONNX, *LITERT)}


def onnx_graph(artifact: Artifact) -> onnx.GraphProto:
    return onnx.load(artifact.path).graph


def onnx_kinds(artifact: Artifact) -> list[str]:
    return [node.op_type for node in onnx_graph(artifact).node]


def litert_kinds(artifact: Artifact) -> list[str]:
    return [op["op_name"] for op in Interpreter(str(artifact.path))._get_ops_details()]


def counted(network: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(isinstance(module, kinds) for module in network.modules())


def shortcuts(network: nn.Module) -> int:
    return sum(module.shortcut for module in network.modules() if isinstance(module, MBConvBlock))


@of_onnx
def test_onnx_files_hold_no_transposition_no_batch_norm_and_no_softmax(files: dict[Kind, Artifact], kind: Kind) -> None:
    assert not {"Transpose", "BatchNormalization", "Softmax", "Mul", "Div", "Sub"} & set(onnx_kinds(files[kind]))


@of_litert
def test_litert_files_hold_no_transposition_and_one_softmax_at_the_end(files: dict[Kind, Artifact], kind: Kind) -> None:
    kinds = litert_kinds(files[kind])
    assert not {"TRANSPOSE", "MUL", "DIV", "SUB", "RELU6"} & set(kinds)
    assert kinds.count("SOFTMAX") == 1 and kinds[-1] == "SOFTMAX"
    assert files[kind].inputs[0].shape == (1, 16, 16, 3)


def test_onnx_fp32_holds_each_layer_once_and_nothing_else(files: dict[Kind, Artifact], network: nn.Module) -> None:
    kinds = Counter(onnx_kinds(files[ONNX[0]]))
    reshaping = kinds.pop("Reshape", 0) + kinds.pop("Flatten", 0)
    assert kinds == {
        "Conv": counted(network, nn.Conv2d),
        "Clip": counted(network, nn.ReLU6),
        "Add": shortcuts(network),
        "AveragePool": 1,
        "Gemm": 1,
    }
    assert reshaping == 1


def test_litert_fp32_holds_each_layer_once_and_nothing_else(files: dict[Kind, Artifact], network: nn.Module) -> None:
    kinds = Counter(litert_kinds(files[LITERT[0]]))
    assert kinds.pop("RESHAPE", 0) <= 1
    assert kinds.pop("CONV_2D") + kinds.pop("DEPTHWISE_CONV_2D") == counted(network, nn.Conv2d)
    assert kinds == {
        "ADD": shortcuts(network),
        "AVERAGE_POOL_2D": 1,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
        # PyTorch pads both sides of a strided convolution alike, for which LiteRT's convolutions have no word.
        "PAD": sum(isinstance(module, nn.Conv2d) and module.stride == (2, 2) for module in network.modules()),
    }


def test_the_first_operation_of_a_float_file_convolves_the_image_itself(files: dict[Kind, Artifact]) -> None:
    first = onnx_graph(files[ONNX[0]]).node[0]
    assert (first.op_type, first.input[0]) == ("Conv", "image")
    assert next(kind for kind in litert_kinds(files[LITERT[0]]) if kind != "PAD") == "CONV_2D"


def test_only_int8_quantises_in_litert_and_only_at_its_edges(files: dict[Kind, Artifact], network: nn.Module) -> None:
    fp32, fp16, int8 = (Counter(litert_kinds(files[kind])) for kind in LITERT)
    assert not {"QUANTIZE", "DEQUANTIZE"} & set(fp32)
    assert "QUANTIZE" not in fp16  # its weights pass a DEQUANTIZE each, which LiteRT does once, at the start
    assert fp16["DEQUANTIZE"] <= 2 * counted(network, nn.Conv2d, nn.Linear)
    assert (int8["QUANTIZE"], int8["DEQUANTIZE"]) == (1, 1)
    assert int8 - Counter({"QUANTIZE": 1, "DEQUANTIZE": 1}) == fp32


def test_only_int8_quantises_in_onnx_and_never_what_was_just_dequantised(files: dict[Kind, Artifact]) -> None:
    for kind in ONNX[:2]:
        assert not {"QuantizeLinear", "DequantizeLinear"} & set(onnx_kinds(files[kind]))
    nodes = list(onnx_graph(files[ONNX[2]]).node)
    maker = {output: node.op_type for node in nodes for output in node.output}
    quantised = [node.input[0] for node in nodes if node.op_type == "QuantizeLinear"]
    assert quantised.count("image") == 1 and len(set(quantised)) == len(quantised)
    assert "DequantizeLinear" not in {maker.get(name) for name in quantised}
    for node in nodes:
        if node.op_type in {"Conv", "Gemm", "Add", "AveragePool"}:
            assert {maker.get(name) for name in node.input} == {"DequantizeLinear"}
