from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from profilers.errors import FileError
from profilers.model_files import DTYPES, UNKNOWN, Shapes, in_one_file, input_names, read_model
from tests.profilers.foreign_models import Size, write_onnx, write_scaling_model, write_text_model, write_tflite_model


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_model(tmp_path_factory.mktemp("text") / "text.onnx")


@pytest.fixture(scope="module")
def tflite_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tflite_model(tmp_path_factory.mktemp("tflite") / "rows.tflite")


def shapes_of(path: Path, shapes: Shapes | None = None) -> dict[str, tuple[int, ...]]:
    return {each.name: each.shape for each in read_model(path, shapes).inputs}


def test_inputs_and_outputs_are_those_that_the_file_declares(text_model: Path) -> None:
    found = read_model(text_model)
    assert {each.name: each.dtype for each in found.inputs} == {"ids": "int64", "mask": "bool", "scale": "float32"}
    assert {each.name: each.shape for each in found.outputs} == {
        "scaled": (UNKNOWN, UNKNOWN, 4),
        "left_out": (UNKNOWN, UNKNOWN),
    }
    assert {each.layout for each in (*found.inputs, *found.outputs)} == {"plain"}


def test_sizes_that_are_open_are_one(text_model: Path, tflite_model: Path) -> None:
    assert shapes_of(text_model) == {"ids": (1, 1), "mask": (1, 1), "scale": ()}
    assert shapes_of(tflite_model) == {"numbers": (1,), "row": (1, 4)}


def test_open_sizes_of_one_name_are_one_size(text_model: Path) -> None:
    assert shapes_of(text_model, {"ids": (2, 7)}) == {"ids": (2, 7), "mask": (2, 7), "scale": ()}


def test_an_open_size_of_litert_can_be_chosen(tflite_model: Path) -> None:
    assert shapes_of(tflite_model, {"numbers": (9,)})["numbers"] == (9,)


@pytest.mark.parametrize(
    ("shapes", "told"),
    [
        ({"words": (1, 2)}, "takes no input 'words'; it takes ids, mask, scale"),
        ({"ids": (1, 2, 3)}, "input ids is batchxwords, and cannot be 1x2x3"),
        ({"ids": (1, 0)}, "input ids is batchxwords, and cannot be 1x0"),
        ({"scale": (2,)}, "input scale is one, and cannot be 2"),
        ({"ids": (1, 2), "mask": (1, 3)}, "input mask is batchxwords, and cannot be 1x3: words is 2 elsewhere"),
        ({"ids": (2**20, 2**20)}, "cannot be 1048576x1048576"),
    ],
)
def test_sizes_that_cannot_be_are_refused(text_model: Path, shapes: Shapes, told: str) -> None:
    with pytest.raises(FileError, match=told):
        read_model(text_model, shapes)


def test_a_size_that_is_fixed_stays(tflite_model: Path) -> None:
    with pytest.raises(FileError, match="input row is 1x4, and cannot be 2x4"):
        read_model(tflite_model, {"row": (2, 4)})


def test_an_input_of_any_shape_must_be_told_one(tmp_path: Path) -> None:
    path = write_scaling_model(tmp_path / "any.onnx", None)
    with pytest.raises(FileError, match="does not say how many sizes input x has; give --shape x="):
        read_model(path)
    assert shapes_of(path, {"x": (2, 3)}) == {"x": (2, 3)}


@given(
    st.lists(st.one_of(st.integers(1, 9), st.sampled_from(["a", "b"]), st.none()), max_size=4),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 9), min_size=2),
)
def test_every_shape_of_the_declared_form_is_taken_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, declared: list[Size], named: dict[str, int]
) -> None:
    path = write_scaling_model(tmp_path_factory.mktemp("any") / "m.onnx", declared)
    shape = tuple(named.get(size, 1) if isinstance(size, str) else size or 5 for size in declared)
    assert shapes_of(path, {"x": shape}) == {"x": shape}
    assert all(size == 1 for size, one in zip(shapes_of(path)["x"], declared, strict=True) if not isinstance(one, int))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8, TensorProto.INT32])
def test_types_are_told_as_numpy_calls_them(tmp_path: Path, kind: int) -> None:
    [found] = read_model(write_scaling_model(tmp_path / "m.onnx", [2], kind)).inputs
    assert found.dtype in DTYPES
    assert found.dtype == str(helper.tensor_dtype_to_np_dtype(kind))


def test_strings_are_no_noise(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="input x holds object, of which there is no random data"):
        read_model(write_scaling_model(tmp_path / "m.onnx", [2], TensorProto.STRING))


def test_weights_that_an_old_file_lists_among_its_inputs_are_none(tmp_path: Path) -> None:
    node = helper.make_node("Add", ["x", "w"], ["y"])
    edge = (TensorProto.FLOAT, [1])
    path = write_onnx(tmp_path / "m.onnx", [node], {"x": edge, "w": edge}, {"y": edge}, {"w": np.ones(1, np.float32)})
    assert input_names(path) == ("x",)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("missing.onnx", None, "no such model"),
        ("m.pb", b"", r"give a file that ends in \.onnx or \.tflite"),
        ("m.onnx", b"", "not an ONNX model, or torn"),
        ("m.onnx", b"this is no model", "not an ONNX model, or torn"),
        ("m.tflite", b"this is no model", "not a LiteRT model, or torn: it does not begin as one"),
        ("m.tflite", b"\x00\x00\x00\x80TFL3", "not a LiteRT model, or torn"),
    ],
)
def test_what_is_no_model_is_named(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=rf"{name}: .*{told}") as failed:
        read_model(tmp_path / name)
    assert "\n" not in str(failed.value)


@given(data=st.data())
@pytest.mark.parametrize("kind", ["text_model", "tflite_model"])
def test_a_torn_file_is_refused_or_read_and_nothing_else(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    original: Path = request.getfixturevalue(kind)
    torn = bytearray(original.read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(torn) - 1), min_size=1, max_size=8)):
        torn[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("torn") / original.name
    path.write_bytes(torn[: data.draw(st.integers(1, len(torn)))])
    try:
        found = read_model(path)
    except FileError:
        return
    assert all(size >= 1 for each in found.inputs for size in each.shape)


@pytest.fixture
def divided(tmp_path: Path) -> Path:
    """A model whose weights lie in a file beside it."""
    node, edge = helper.make_node("Add", ["x", "w"], ["y"]), (TensorProto.FLOAT, [64])
    path = write_onnx(tmp_path / "m.onnx", [node], {"x": edge}, {"y": edge}, {"w": np.ones(64, np.float32)})
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="m.weights", size_threshold=0)
    return path


def test_weights_in_another_file_are_taken_into_the_model(divided: Path, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = in_one_file(divided, tmp_path / "whole")
    divided.with_name("m.weights").unlink()
    [weights] = onnx.load(whole).graph.initializer
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(weights), np.ones(64, np.float32))


def test_a_model_in_one_file_is_left_where_it_is(text_model: Path, tmp_path: Path) -> None:
    assert in_one_file(text_model, tmp_path) == text_model


def test_weights_that_are_missing_are_named(divided: Path, tmp_path: Path) -> None:
    divided.with_name("m.weights").unlink()
    with pytest.raises(FileError, match=r"m\.onnx: its weights in other files cannot be read: .*m\.weights"):
        in_one_file(divided, tmp_path)


def test_weights_outside_of_the_model_s_folder_are_not_read(divided: Path, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    model = onnx.load(divided, load_external_data=False)
    entry = next(each for each in model.graph.initializer[0].external_data if each.key == "location")
    entry.value = "../m.weights"
    (inside / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match="its weights in other files cannot be read"):
        in_one_file(inside / "m.onnx", tmp_path)
