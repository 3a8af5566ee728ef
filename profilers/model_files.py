"""What a compiled file of unknown origin takes and gives, read from the file itself, without running it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from profilers.artifact import Artifact, Format, TensorSpec
from profilers.errors import FileError
from profilers.files import sha256_of, write_atomic

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

Shapes = Mapping[str, tuple[int, ...]]  # by the name of an input

# What the noise that a model is timed with can be of.
DTYPES = frozenset(
    {"bool", "float16", "float32", "float64"}
    | {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
)
UNKNOWN = -1  # a size of an output that is known only once the model has run
_MOST_BYTES = 2**31 - 1  # of a protocol buffer
_MOST_ELEMENTS = 2**31 - 1  # of an input
_MOST_TENSORS = 10_000  # that a file may take or give
_TFLITE_IDENTIFIER = b"TFL3"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    """An input or output as a file declares it: a size is a number, a name that others may share, or None."""

    name: str
    sizes: tuple[int | str | None, ...] | None  # None: not even how many
    dtype: str


def read_model(path: Path, shapes: Shapes | None = None) -> Artifact:
    """The artifact of an .onnx or .tflite file; sizes that it leaves open are 1, or those of `shapes`.

    Open sizes of one name are one size. Raises FileError for a file that is missing, torn or of another kind, and for
    shapes that it cannot take.
    """
    given, taken = _edges(path)
    for edge in given:
        if edge.dtype not in DTYPES:
            raise FileError(f"{path}: input {edge.name} holds {edge.dtype}, of which there is no random data")
    return Artifact(
        path=path,
        format=_READERS[path.suffix][0],
        inputs=_resolved(given, shapes or {}, path),
        outputs=tuple(_output(edge) for edge in taken),
        size_bytes=path.stat().st_size,
        sha256=sha256_of(path),
    )


def input_names(path: Path) -> tuple[str, ...]:
    """What the inputs of an .onnx or .tflite file are called; raises FileError as `read_model` does."""
    given, _ = _edges(path)
    return tuple(edge.name for edge in given)


def in_one_file(path: Path, folder: Path) -> Path:
    """The .onnx file itself, or where its weights lie in files beside it, a copy in `folder` that holds them.

    So that its hash covers them, and every device gets them. Raises FileError where one is missing, or elsewhere.
    """
    import onnx

    model = _onnx_model(path)
    alone = model.ByteSize()
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        size = model.ByteSize()
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise FileError(f"{path}: its weights in other files cannot be read: {_line(error)}") from None
    if size == alone:
        return path
    if size > _MOST_BYTES:
        raise FileError(f"{path}: {size:,} bytes with its weights, more than one .onnx file holds; not measured")
    whole = folder / path.name
    write_atomic(whole, model.SerializeToString())
    return whole


def _edges(path: Path) -> tuple[list[_Edge], list[_Edge]]:
    if path.suffix not in _READERS:
        raise FileError(f"{path}: not a model that can be measured; give a file that ends in {' or '.join(SUFFIXES)}")
    if not path.is_file():
        raise FileError(f"{path}: no such model")
    _, read, extra = _READERS[path.suffix]
    try:
        return read(path)
    except ImportError as error:
        needed = f"{error.name}, which is not installed: pip install 'millis[{extra}]'"
        raise FileError(f"{path}: cannot be read without {needed}") from None


def _resolved(given: Sequence[_Edge], shapes: Shapes, path: Path) -> tuple[TensorSpec, ...]:
    unknown = sorted(shapes.keys() - {edge.name for edge in given})
    if unknown:
        names = ", ".join(edge.name for edge in given) or "nothing"
        raise FileError(f"{path}: takes no input {unknown[0]!r}; it takes {names}")
    named: dict[str, int] = {}
    for edge in given:
        if edge.name in shapes:
            named = _named_sizes(edge, shapes[edge.name], named, path)
    return tuple(_input(edge, shapes.get(edge.name), named, path) for edge in given)


def _named_sizes(edge: _Edge, shape: tuple[int, ...], known: Mapping[str, int], path: Path) -> dict[str, int]:
    """The sizes of names, those of a shape too; raises FileError where that does not fit what the file says."""
    declared: tuple[int | str | None, ...] = edge.sizes if edge.sizes is not None else (None,) * len(shape)
    told = f"{path}: input {edge.name} is {_text(edge.sizes)}, and cannot be {_text(shape)}"
    if len(declared) != len(shape) or min(shape, default=1) < 1 or prod(shape) > _MOST_ELEMENTS:
        raise FileError(told)
    named = dict(known)
    for size, asked in zip(declared, shape, strict=True):
        if isinstance(size, int) and size != asked:
            raise FileError(told)
        if isinstance(size, str) and named.setdefault(size, asked) != asked:
            raise FileError(f"{told}: {size} is {named[size]} elsewhere")
    return named


def _input(edge: _Edge, shape: tuple[int, ...] | None, named: Mapping[str, int], path: Path) -> TensorSpec:
    if shape is None and edge.sizes is None:
        raise FileError(f"{path}: does not say how many sizes input {edge.name} has; give --shape {edge.name}=1x…")
    if shape is None:
        sizes = edge.sizes or ()
        shape = tuple(size if isinstance(size, int) else named.get(size or "", 1) for size in sizes)
    if min(shape, default=1) < 1 or prod(shape) > _MOST_ELEMENTS:
        raise FileError(f"{path}: input {edge.name} is {_text(shape)}, which holds no numbers to time it with")
    return TensorSpec(name=edge.name, shape=shape, dtype=edge.dtype, layout="plain")


def _output(edge: _Edge) -> TensorSpec:
    sizes = tuple(size if isinstance(size, int) else UNKNOWN for size in edge.sizes or ())
    return TensorSpec(name=edge.name, shape=sizes, dtype=edge.dtype, layout="plain")


def _text(sizes: Sequence[int | str | None] | None) -> str:
    return "of any shape" if sizes is None else "x".join("?" if size is None else str(size) for size in sizes) or "one"


# ONNX


def _read_onnx(path: Path) -> tuple[list[_Edge], list[_Edge]]:
    graph = _onnx_model(path).graph
    weights = {tensor.name for tensor in graph.initializer}  # which old files list among the inputs
    given = [_onnx_edge(value, path) for value in graph.input if value.name not in weights]
    return given, [_onnx_edge(value, path) for value in graph.output]


def _onnx_model(path: Path) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise FileError(f"{path}: not an ONNX model, or torn: {_line(error)}; fetch it again") from None
    if not model.graph.node or not model.graph.output:
        raise FileError(f"{path}: not an ONNX model, or torn: there is no graph in it; fetch it again")
    return model


def _onnx_edge(value: ValueInfoProto, path: Path) -> _Edge:
    from onnx import helper

    tensor = value.type.tensor_type
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        told = (kind or "nothing").removesuffix("_type")
        raise FileError(f"{path}: {value.name} is not a tensor but a {told}, which is not measured")
    try:
        dtype = str(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    except (KeyError, ValueError):
        raise FileError(f"{path}: {value.name} holds numbers of a type that ONNX does not know") from None
    sizes = tuple(map(_onnx_size, tensor.shape.dim)) if tensor.HasField("shape") else None
    return _Edge(name=value.name, sizes=sizes, dtype=dtype)


def _onnx_size(dim: Any) -> int | str | None:
    if dim.WhichOneof("value") == "dim_value":
        return int(dim.dim_value) if dim.dim_value >= 0 else None  # -1, as some exporters write
    return str(dim.dim_param) or None


# LiteRT


def _read_tflite(path: Path) -> tuple[list[_Edge], list[_Edge]]:
    from ai_edge_litert import schema_py_generated as schema

    data = path.read_bytes()
    if data[4:8] != _TFLITE_IDENTIFIER:
        raise FileError(f"{path}: not a LiteRT model, or torn: it does not begin as one")
    try:
        graph = schema.Model.GetRootAs(data, 0).Subgraphs(0)
        places = [_places(graph.InputsLength(), graph.Inputs), _places(graph.OutputsLength(), graph.Outputs)]
        given, taken = ([_tflite_edge(graph.Tensors(place), schema) for place in each] for each in places)
    except (struct.error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise FileError(f"{path}: not a LiteRT model, or torn: its parts do not lie where it says") from None
    return given, taken


def _places(count: int, place: Callable[[int], int]) -> list[int]:
    if count > _MOST_TENSORS:
        raise ValueError(f"{count} inputs or outputs")
    return [place(number) for number in range(count)]


def _tflite_edge(tensor: Any, schema: Any) -> _Edge:
    types = {value: name.lower() for name, value in vars(schema.TensorType).items() if not name.startswith("_")}
    rank = tensor.ShapeLength()
    if rank > _MOST_TENSORS:
        raise ValueError(f"a tensor of {rank} sizes")
    shape = [int(tensor.Shape(axis)) for axis in range(rank)]
    if tensor.ShapeSignatureLength() == rank:  # -1 where a size is open
        shape = [int(tensor.ShapeSignature(axis)) for axis in range(rank)]
    sizes = tuple(None if size < 0 else size for size in shape)
    return _Edge(name=tensor.Name().decode(), sizes=sizes, dtype=types[tensor.Type()])


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# Ending of a file -> its format, what reads it, and the extra of ours that brings what this needs.
_READERS: dict[str, tuple[Format, Callable[[Path], tuple[list[_Edge], list[_Edge]]], str]] = {
    ".onnx": ("onnx", _read_onnx, "onnxruntime"),
    ".tflite": ("tflite", _read_tflite, "litert"),
}
SUFFIXES = tuple(_READERS)
