from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils
from flatbuffers import number_types
from flatbuffers.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.tflite_file import put_together, taken_apart
from deploy.tflite_luma import takes_rgb
from deploy.tflite_metadata import with_metadata
from deploy.variant import Variant
from profilers.artifact import Artifact
from profilers.runtimes import load_runtime
from tests.deploy.small_networks import LABELS, MEAN, STD, Small, small

NAMES = ("litert-fp32", "litert-fp16", "litert-int8")
Files = Callable[[bytes], Artifact]


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small(1, tmp_path_factory.mktemp("grey"), *NAMES)


def _bytes(variant: Variant) -> bytes:
    return variant.artifact.path.read_bytes()


def _finished(model: bytes) -> bytes:
    return with_metadata(model, name="test", labels=LABELS, mean=MEAN, std=STD)


def _answers(variant: Variant, model: bytes, images: np.ndarray, path: Path) -> np.ndarray:
    path.write_bytes(model)
    spec = variant.artifact.inputs[0]
    spec = replace(spec, shape=(*spec.shape[:3], images.shape[1]))
    return load_runtime("litert").run(replace(variant.artifact, path=path, inputs=(spec,)), images)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_with_metadata_gives_what_it_gave(grey: Small, name: str, tmp_path: Path) -> None:
    variant, images = grey.variants[name], grey.images.numpy()
    before = load_runtime("litert").run(variant.artifact, images)
    assert np.array_equal(_answers(variant, _finished(_bytes(variant)), images, tmp_path / "m.tflite"), before)


@pytest.mark.parametrize("name", NAMES)
def test_weights_lie_at_multiples_of_16_bytes(grey: Small, name: str) -> None:
    model = schema.Model.GetRootAs(_finished(_bytes(grey.variants[name])))
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [each._tab.Vector(each._tab.Offset(4)) for each in buffers if not each.DataIsNone()]
    assert len(starts) > 3 and not any(start % 16 for start in starts)


def test_weights_behind_the_flatbuffer_are_brought_into_it(grey: Small) -> None:
    model = _bytes(grey.variants["litert-fp32"])
    assert _weights(put_together(taken_apart(_with_weights_behind(model)))) == _weights(model)


def _weights(model: bytes) -> list[bytes]:
    return [bytes(each.data) for each in taken_apart(model).buffers if each.data is not None]


def _with_weights_behind(model: bytes) -> bytes:
    """As the quantiser writes large files."""
    parts = taken_apart(model)
    behind = {i: bytes(each.data) for i, each in enumerate(parts.buffers) if each.data is not None}
    for i in behind:
        parts.buffers[i] = schema.BufferT(offset=1, size=1)
    made = bytearray(put_together(parts))
    packed = schema.Model.GetRootAs(made)
    for i, data in behind.items():
        flatbuffer_utils.update_packed_buffer(packed.Buffers(i), offset=len(made), size=len(data))
        made += data
        packed = schema.Model.GetRootAs(made)
    return bytes(made)


def test_equal_files_give_equal_bytes(grey: Small) -> None:
    model = _bytes(grey.variants["litert-int8"])
    assert _finished(model) == _finished(model)
    assert takes_rgb(model) == takes_rgb(model)


def test_new_metadata_replaces_the_old(grey: Small) -> None:
    once = _finished(_bytes(grey.variants["litert-fp32"]))
    twice = taken_apart(_finished(once)).metadata
    assert [entry.name for entry in twice] == [entry.name for entry in taken_apart(once).metadata]


LINES = st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1), min_size=1)


@settings(max_examples=20)
@given(labels=LINES)
def test_the_labels_lie_behind_the_model_not_compressed(grey: Small, labels: list[str]) -> None:
    model = with_metadata(_bytes(grey.variants["litert-fp32"]), name="test", labels=tuple(labels), mean=MEAN, std=STD)
    with zipfile.ZipFile(io.BytesIO(model)) as archive:
        assert archive.read("labels.txt").decode().split("\n")[:-1] == labels
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_STORED


def test_the_metadata_stands_where_the_schema_says(grey: Small) -> None:
    model = schema.Model.GetRootAs(_finished(_bytes(grey.variants["litert-fp32"])))
    [entry] = [each for i in range(model.MetadataLength()) if (each := model.Metadata(i)).Name() == b"TFLITE_METADATA"]
    data = bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
    assert data[4:8] == b"M001"
    root = Table(data, int.from_bytes(data[:4], "little"))
    assert _text(root, 0) == "test" and _text(root, 7) == "1.0.0"
    graph = _tables(root, 3)[0]
    [image], [probability] = _tables(graph, 2), _tables(graph, 3)
    assert (_text(image, 0), _text(probability, 0)) == ("image", "probability")
    normalization = _table(_tables(image, 4)[0], 1)
    assert _floats(normalization, 0) == pytest.approx([255 * MEAN])
    assert _floats(normalization, 1) == pytest.approx([255 * STD])
    content = _table(_table(image, 3), 1)
    assert _number(_table(image, 3), 0) == 2 and _number(content, 0) == 2  # ImageProperties, GRAYSCALE
    [labels] = _tables(probability, 6)
    assert (_text(labels, 0), _number(labels, 2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS


@pytest.mark.parametrize("name", NAMES)
def test_a_grey_network_that_takes_rgb_computes_luma(grey: Small, name: str, tmp_path: Path) -> None:
    variant = grey.variants[name]
    rgb = np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
    luma = np.einsum("nchw,c->nhw", rgb, np.array([0.299, 0.587, 0.114], np.float32))[:, None]
    expected = load_runtime("litert").run(variant.artifact, luma)
    found = _answers(variant, takes_rgb(_bytes(variant)), rgb, tmp_path / "rgb.tflite")
    assert found == pytest.approx(expected, abs=1e-5 if name != "litert-int8" else 1 / 256)


def test_a_grey_network_that_takes_rgb_has_one_operation_more(grey: Small) -> None:
    model = _bytes(grey.variants["litert-fp32"])
    before, after = (taken_apart(each).subgraphs[0].operators for each in (model, takes_rgb(model)))
    assert len(after) == len(before) + 1


def _at(table: Table, slot: int) -> int:
    offset: int = table.Offset(4 + 2 * slot)
    assert offset, f"field {slot} is missing"
    return int(table.Pos) + offset


def _text(table: Table, slot: int) -> str:
    return str(table.String(_at(table, slot)).decode())


def _number(table: Table, slot: int) -> int:
    return int(table.Get(number_types.Uint8Flags, _at(table, slot)))


def _table(table: Table, slot: int) -> Table:
    return Table(table.Bytes, table.Indirect(_at(table, slot)))


def _tables(table: Table, slot: int) -> list[Table]:
    offset = _at(table, slot) - table.Pos
    start = table.Vector(offset)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(table.VectorLen(offset))]


def _floats(table: Table, slot: int) -> list[float]:
    offset = _at(table, slot) - table.Pos
    start = table.Vector(offset)
    return [table.Get(number_types.Float32Flags, start + 4 * i) for i in range(table.VectorLen(offset))]
