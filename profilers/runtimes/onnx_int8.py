"""Full quantisation by ONNX Runtime's own quantiser, with 8-bit tensors at the edges or float32 ones.

Weights are int8, per channel; activations are uint8: with int8 ones ONNX Runtime leaves a convolution whose input has a
second reader, as every block with a shortcut has, in floats on x86. On an x86 processor without VNNI it adds up
pairs of uint8 by int8 products in 16 bits, which saturate (its documentation, "Data type selection"); READMEs say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from profilers.artifact import Quantization, TensorSpec
from profilers.runtimes.feeding import batches, tensor_spec

if TYPE_CHECKING:
    import numpy as np
    from onnx import GraphProto, ModelProto, NodeProto

_ACTIVATIONS = "uint8"
_TO_NCHW, _TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)


def quantize_int8(
    model: ModelProto, given: TensorSpec, taken: TensorSpec, images: np.ndarray, *, float_edges: bool = False
) -> tuple[ModelProto, TensorSpec, TensorSpec]:
    """Make all of a float model int8, its ranges those that fp32 images [M, C, H, W] give: QDQ form.

    With `float_edges` as the quantiser leaves it, its input quantised and its output dequantised by a node each; else
    without these two. Also returns what its input and output hold then. Raises ValueError where one of them
    could not be quantised.
    """
    made = _quantized(model, given.name, batches(images, given.shape[0]))
    edges = _edges(made.graph, given, taken)
    if float_edges:
        return made, given, taken
    return made, *_strip_edges(made.graph, given, taken, *edges)


def _quantized(model: ModelProto, name: str, samples: Iterator[np.ndarray]) -> ModelProto:
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(samples, None)
            return None if batch is None else {name: batch}

    # Batch normalisation is folded and shapes are known; what else its preparation does splits activations and slows.
    add_pre_process_metadata(model)
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "quantized.onnx"
        quantize_static(
            model,
            path,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Every kind of operation, also where its input comes from outside: as it is inside a network.
            op_types_to_quantize=sorted({node.op_type for node in model.graph.node}),
            extra_options={"ForceQuantizeNoInputCheck": True},
        )
        return onnx.load(path)


def _edges(graph: GraphProto, given: TensorSpec, taken: TensorSpec) -> tuple[NodeProto, NodeProto]:
    """The node that quantises the input, and the one that dequantises the output."""
    first = [node for node in graph.node if node.input[0] == given.name]
    last = [node for node in graph.node if node.output[0] == taken.name]
    return _only(first, "QuantizeLinear", given), _only(last, "DequantizeLinear", taken)


def _strip_edges(
    graph: GraphProto, given: TensorSpec, taken: TensorSpec, quantize: NodeProto, dequantize: NodeProto
) -> tuple[TensorSpec, TensorSpec]:
    """Take off, in place, what quantises the input and dequantises the output, and the layout of a lone operation.

    ONNX Runtime's 8-bit convolutions are channels last: it puts transpositions around them, which a network has once
    and each operation alone would have twice. So images go in and come out channels last, through transpositions
    against which it cancels its own. Without a convolution it adds none, and images stay channels first.
    """
    channels_last = any(node.op_type == "Conv" for node in graph.node)
    held = [
        tensor_spec(
            spec.name, spec.shape, channels_last=channels_last, dtype=_ACTIVATIONS, quantization=_meaning(graph, node)
        )
        for spec, node in ((given, quantize), (taken, dequantize))
    ]
    for node in (quantize, dequantize):
        graph.node.remove(node)
    graph.node.insert(0, _link(held[0], given.name, quantize.output[0], _TO_NCHW))
    graph.node.append(_link(held[1], dequantize.input[0], taken.name, _TO_NHWC))
    _declare(graph, *held)
    return held[0], held[1]


def _only(nodes: list[NodeProto], kind: str, edge: TensorSpec) -> NodeProto:
    kinds = [node.op_type for node in nodes]
    if kinds != [kind]:
        raise ValueError(f"{edge.name} is not quantised: {', '.join(kinds) or 'nothing'} stands there")
    return nodes[0]


def _meaning(graph: GraphProto, node: NodeProto) -> Quantization:
    """What the numbers of a quantising or dequantising node stand for."""
    from onnx import numpy_helper

    values = {each.name: numpy_helper.to_array(each) for each in graph.initializer if each.name in node.input}
    return Quantization(scale=float(values[node.input[1]]), zero_point=int(values[node.input[2]]))


def _link(edge: TensorSpec, source: str, destination: str, order: tuple[int, ...]) -> NodeProto:
    """A node that gives a tensor another name, and another order of axes where the edge is channels last."""
    from onnx import helper

    if edge.layout == "NHWC":
        return helper.make_node("Transpose", [source], [destination], perm=order)
    return helper.make_node("Identity", [source], [destination])


def _declare(graph: GraphProto, given: TensorSpec, taken: TensorSpec) -> None:
    from onnx import TensorProto, helper

    kind = TensorProto.DataType.Value(_ACTIVATIONS.upper())
    graph.input[0].CopyFrom(helper.make_tensor_value_info(given.name, kind, given.shape))
    graph.output[0].CopyFrom(helper.make_tensor_value_info(taken.name, kind, taken.shape))
