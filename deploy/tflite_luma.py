"""A LiteRT file of grey images made to take RGB ones: for programs that know no other, such as MediaPipe."""

from __future__ import annotations

import struct
from copy import copy
from typing import Any

from deploy.tflite_file import add_buffer, put_together, taken_apart

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601; they add up to 1, so that normalised pixels become the normalised luma


def takes_rgb(model: bytes) -> bytes:
    """The same network behind a 1x1 convolution that makes luma of RGB: [1, H, W, 3] instead of [1, H, W, 1].

    The convolution stands alone, so that no weight of the network changes in any precision: folded into its first one,
    those of int8 would be rounded anew.
    """
    parts = taken_apart(model)
    graph = parts.subgraphs[0]
    [grey] = graph.inputs
    rgb = _add_tensor(graph, graph.tensors[grey], [*graph.tensors[grey].shape[:3], 3], "rgb", buffer=0)
    weights = _add_constant(parts, graph, [1, 1, 1, 3], "luma/weights", _LUMA)
    bias = _add_constant(parts, graph, [1], "luma/bias", (0.0,))
    graph.operators.insert(0, _convolution(parts, [rgb, weights, bias], grey))
    graph.inputs = [rgb]
    for signature in parts.signatureDefs or []:
        for given in signature.inputs:
            given.tensorIndex = rgb
    return put_together(parts)


def _add_tensor(graph: Any, like: Any, shape: list[int], name: str, *, buffer: int) -> int:
    tensor = copy(like)
    tensor.shape, tensor.name, tensor.buffer = shape, name, buffer
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _add_constant(parts: Any, graph: Any, shape: list[int], name: str, values: tuple[float, ...]) -> int:
    buffer = add_buffer(parts, struct.pack(f"<{len(values)}f", *values))
    return _add_tensor(graph, graph.tensors[graph.inputs[0]], shape, name, buffer=buffer)


def _convolution(parts: Any, inputs: list[int], output: int) -> Any:
    from ai_edge_litert import schema_py_generated as schema

    code = schema.BuiltinOperator.CONV_2D
    parts.operatorCodes.append(schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code))
    return schema.OperatorT(
        opcodeIndex=len(parts.operatorCodes) - 1,
        inputs=inputs,
        outputs=[output],
        builtinOptionsType=schema.BuiltinOptions.Conv2DOptions,
        builtinOptions=schema.Conv2DOptionsT(padding=schema.Padding.VALID, strideW=1, strideH=1),
    )
