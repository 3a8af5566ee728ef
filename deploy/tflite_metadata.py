"""TFLite metadata: what MediaPipe and Android Studio read from a LiteRT file to know how to feed it.

A flatbuffer of its own inside the model's, under the name TFLITE_METADATA, and the labels in a .zip behind them both
(mediapipe/tasks/metadata/metadata_schema.fbs). No package that could be depended on brings that schema's code any more.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from deploy.archive import EPOCH
from deploy.tflite_file import add_buffer, put_together, taken_apart

if TYPE_CHECKING:
    from flatbuffers import Builder

_NAME, _IDENTIFIER = "TFLITE_METADATA", b"M001"
_PARSER_VERSION = "1.0.0"  # the oldest that knows every field written here
_LABELS = "labels.txt"

# Table -> its fields as the schema numbers them; a union takes two, what it is and where.
_FIELDS = {
    "ModelMetadata": (
        "name", "description", "version", "subgraph_metadata", "author", "license", "associated_files",
        "min_parser_version",
    ),
    "SubGraphMetadata": ("name", "description", "input_tensor_metadata", "output_tensor_metadata"),
    "TensorMetadata": (
        "name", "description", "dimension_names", "content", "process_units", "stats", "associated_files",
    ),
    "Content": ("content_properties_type", "content_properties"),
    "ImageProperties": ("color_space", "default_size"),
    "ImageSize": ("width", "height"),
    "FeatureProperties": (),
    "ProcessUnit": ("options_type", "options"),
    "NormalizationOptions": ("mean", "std"),
    "Stats": ("max", "min"),
    "AssociatedFile": ("name", "description", "type"),
}  # fmt: skip
_FEATURE, _IMAGE = 1, 2  # of the union ContentProperties
_NORMALIZATION = 1  # of the union ProcessUnitOptions
_RGB, _GRAYSCALE = 1, 2  # of ColorSpaceType
_AXIS_LABELS = 2  # of AssociatedFileType


@dataclass(frozen=True, slots=True)
class _Byte:
    number: int


@dataclass(frozen=True, slots=True)
class _Table:
    kind: str
    fields: Mapping[str, Value]


Value: TypeAlias = "str | int | _Byte | _Table | list[float] | list[_Table]"


def with_metadata(model: bytes, *, name: str, labels: tuple[str, ...], mean: float, std: float) -> bytes:
    """The file with its metadata and labels; it gives for every input what it gave.

    It takes one image, fp32 [1, H, W, 1 or 3] of `(pixel / 255 - mean) / std`, and gives [1, classes] probabilities.
    """
    parts = taken_apart(model)
    graph = parts.subgraphs[0]
    _, height, width, channels = graph.tensors[graph.inputs[0]].shape
    metadata = _model(
        name,
        f"Tells which of {len(labels)} classes a picture of {width}x{height} pixels shows.",
        # MediaPipe's pixels are 0..255 where ours are 0..1.
        _image(width, height, channels, mean=255 * mean, std=255 * std),
        _probabilities(),
    )
    _add_entry(parts, _flatbuffer(metadata))
    return _with_zip(put_together(parts), {_LABELS: "".join(f"{label}\n" for label in labels)})


def _model(name: str, description: str, image: _Table, probabilities: _Table) -> _Table:
    graph: dict[str, Value] = {
        "name": name,
        "input_tensor_metadata": [image],
        "output_tensor_metadata": [probabilities],
    }
    fields: dict[str, Value] = {
        "name": name,
        "description": description,
        "subgraph_metadata": [_Table("SubGraphMetadata", graph)],
        "min_parser_version": _PARSER_VERSION,
    }
    return _Table("ModelMetadata", fields)


def _image(width: int, height: int, channels: int, *, mean: float, std: float) -> _Table:
    size = _Table("ImageSize", {"width": width, "height": height})
    space = _Byte(_RGB if channels == 3 else _GRAYSCALE)
    normalization = _Table("NormalizationOptions", {"mean": [mean], "std": [std]})
    fields: dict[str, Value] = {
        "name": "image",
        "description": f"{'RGB' if channels == 3 else 'Grey'} image, (pixel - {mean:g}) / {std:g} of pixels 0 to 255.",
        "content": _content(_IMAGE, _Table("ImageProperties", {"color_space": space, "default_size": size})),
        "process_units": [_Table("ProcessUnit", {"options_type": _Byte(_NORMALIZATION), "options": normalization})],
        "stats": _Table("Stats", {"max": [(255 - mean) / std], "min": [-mean / std]}),
    }
    return _Table("TensorMetadata", fields)


def _probabilities() -> _Table:
    labels: dict[str, Value] = {"name": _LABELS, "description": "A line for each class.", "type": _Byte(_AXIS_LABELS)}
    fields: dict[str, Value] = {
        "name": "probability",
        "description": "Probability of each class; they add up to 1.",
        "content": _content(_FEATURE, _Table("FeatureProperties", {})),
        "stats": _Table("Stats", {"max": [1.0], "min": [0.0]}),
        "associated_files": [_Table("AssociatedFile", labels)],
    }
    return _Table("TensorMetadata", fields)


def _content(kind: int, properties: _Table) -> _Table:
    return _Table("Content", {"content_properties_type": _Byte(kind), "content_properties": properties})


def _flatbuffer(root: _Table) -> bytes:
    from flatbuffers import Builder

    builder = Builder(1024)
    builder.Finish(_write_table(builder, root), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _write_table(builder: Builder, table: _Table) -> int:
    """What a table points to is written before it; numbers stand inside it."""
    places = {name: _write(builder, value) for name, value in table.fields.items() if not _inside(value)}
    names = _FIELDS[table.kind]
    builder.StartObject(len(names))
    for name, value in table.fields.items():
        if isinstance(value, _Byte):
            builder.PrependUint8Slot(names.index(name), value.number, 0)
        elif isinstance(value, int):
            builder.PrependUint32Slot(names.index(name), value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(names.index(name), places[name], 0)
    written: int = builder.EndObject()
    return written


def _inside(value: object) -> bool:
    return isinstance(value, int | _Byte)


def _write(builder: Builder, value: object) -> int:
    place: int
    if isinstance(value, _Table):
        return _write_table(builder, value)
    if isinstance(value, str):
        place = builder.CreateString(value)
        return place
    assert isinstance(value, list)
    tables = [_write_table(builder, each) for each in value if isinstance(each, _Table)]
    builder.StartVector(4, len(value), 4)
    for each in reversed(tables or value):
        if tables:
            builder.PrependUOffsetTRelative(each)
        else:
            builder.PrependFloat32(each)
    place = builder.EndVector()
    return place


def _add_entry(parts: Any, metadata: bytes) -> None:
    from ai_edge_litert.schema_py_generated import MetadataT

    others = [entry for entry in parts.metadata or [] if entry.name != _NAME.encode()]
    parts.metadata = [*others, MetadataT(name=_NAME, buffer=add_buffer(parts, metadata))]


def _with_zip(model: bytes, files: Mapping[str, str]) -> bytes:
    """Stored, as MediaPipe wants it, which reads the labels where they lie."""
    buffer = io.BytesIO(model)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), text)
    return buffer.getvalue()
