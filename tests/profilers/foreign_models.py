"""Models that no exporter of ours made: several inputs and outputs of several types, sizes left open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from deploy.tflite_file import put_together

Size = int | str | None
Edges = Mapping[str, tuple[int, Sequence[Size] | None]]  # type and sizes


def write_onnx(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: Edges,
    outputs: Edges,
    weights: dict[str, np.ndarray] | None = None,
) -> Path:
    """A graph of such nodes."""
    given, taken = (
        [helper.make_tensor_value_info(name, kind, sizes) for name, (kind, sizes) in edge.items()]
        for edge in (inputs, outputs)
    )
    constants = [numpy_helper.from_array(values, name) for name, values in (weights or {}).items()]
    graph = helper.make_graph(nodes, "main", given, taken, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def write_text_model(path: Path) -> Path:
    """Identifiers [batch, words] and their mask, looked up, masked, scaled; a second output says which were masked."""
    rows = np.arange(20, dtype=np.float32).reshape(5, 4)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["words"], name="look_up"),
        helper.make_node("Cast", ["mask"], ["weight"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weight", "last"], ["column"], name="spread"),
        helper.make_node("Mul", ["words", "column"], ["masked"], name="mask_out"),
        helper.make_node("Mul", ["masked", "scale"], ["scaled"], name="scale_up"),
        helper.make_node("Not", ["mask"], ["left_out"], name="negate"),
    ]
    return write_onnx(
        path,
        nodes,
        {
            "ids": (TensorProto.INT64, ["batch", "words"]),
            "mask": (TensorProto.BOOL, ["batch", "words"]),
            "scale": (TensorProto.FLOAT, []),
        },
        {
            "scaled": (TensorProto.FLOAT, ["batch", "words", 4]),
            "left_out": (TensorProto.BOOL, ["batch", "words"]),
        },
        {"table": rows, "last": np.array([2])},
    )


def write_scaling_model(path: Path, sizes: Sequence[Size] | None, kind: int = TensorProto.FLOAT) -> Path:
    """Adds an input to itself."""
    node = helper.make_node("Add", ["x", "x"], ["y"], name="double")
    return write_onnx(path, [node], {"x": (kind, sizes)}, {"y": (kind, sizes)})


def write_tflite_model(path: Path, count: int | None = None) -> Path:
    """Rows of a table of five, by so many int32 numbers, or as many as one likes, plus a row; both are given."""
    from ai_edge_litert import schema_py_generated as schema

    table, rows = np.arange(20, dtype=np.float32), count or 1
    signature = [count or -1]
    tensors = [
        _tensor(schema, "numbers", [rows], schema.TensorType.INT32, signature),
        _tensor(schema, "row", [1, 4], schema.TensorType.FLOAT32),
        _tensor(schema, "table", [5, 4], schema.TensorType.FLOAT32, buffer=1),
        _tensor(schema, "rows", [rows, 4], schema.TensorType.FLOAT32, [*signature, 4]),
        _tensor(schema, "sums", [rows, 4], schema.TensorType.FLOAT32, [*signature, 4]),
    ]
    look_up = schema.OperatorT(inputs=[2, 0], outputs=[3], opcodeIndex=0)
    look_up.builtinOptionsType, look_up.builtinOptions = schema.BuiltinOptions.GatherOptions, schema.GatherOptionsT()
    add = schema.OperatorT(inputs=[3, 1], outputs=[4], opcodeIndex=1)
    add.builtinOptionsType, add.builtinOptions = schema.BuiltinOptions.AddOptions, schema.AddOptionsT()
    graph = schema.SubGraphT(tensors=tensors, inputs=[0, 1], outputs=[3, 4], operators=[look_up, add], name="main")
    codes = [schema.BuiltinOperator.GATHER, schema.BuiltinOperator.ADD]
    model = schema.ModelT(
        version=3,
        operatorCodes=[schema.OperatorCodeT(builtinCode=code, deprecatedBuiltinCode=code) for code in codes],
        subgraphs=[graph],
        buffers=[schema.BufferT(), schema.BufferT(data=table.tobytes())],
    )
    path.write_bytes(put_together(model))
    return path


def _tensor(
    schema: Any, name: str, shape: list[int], kind: int, signature: list[int] | None = None, buffer: int = 0
) -> Any:
    tensor = schema.TensorT(name=name, shape=shape, type=kind, buffer=buffer, shapeSignature=signature)
    tensor.hasRank = True
    return tensor
