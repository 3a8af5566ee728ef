from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipeline.checkpoint import load_state, load_weights, save_state, save_weights
from profilers.errors import FileError
from profilers.op_spec import OpSpec
from profilers.operations import Classifier, Conv, MBConv
from profilers.shape import Shape

DTYPES = (
    torch.bool,
    torch.uint8,
    torch.int32,
    torch.int64,
    torch.bfloat16,
    torch.float16,
    torch.float32,
    torch.float64,
)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape = draw(st.lists(st.integers(0, 3), max_size=3))
    values = torch.randint(
        0, 256, (*shape, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(draw(st.integers(0, 99)))
    )
    dtype = draw(st.sampled_from(DTYPES))
    if dtype == torch.bool:
        return values[..., 0] > 127
    return values.view(dtype)[..., 0]  # any bits, NaN included; not contiguous


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
keys = st.text() | st.integers()
states = st.recursive(
    scalars | tensors(),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=12,
)


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return same_bits(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def same_bits(one: Tensor, other: Tensor) -> bool:
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return torch.equal(as_bytes(one), as_bytes(other))


def as_bytes(tensor: Tensor) -> Tensor:
    return tensor.clone(memory_format=torch.contiguous_format).flatten().view(torch.uint8)


def network(width: int = 8) -> nn.Sequential:
    shape = Shape(8, 8, 1)
    stem = OpSpec(Conv(width, kernel=3), shape)
    block = OpSpec(MBConv(width, expand=2, se=4), Shape(8, 8, width))
    return nn.Sequential(stem.module(), block.module(), OpSpec(Classifier(3), Shape(8, 8, width)).module())


@given(state=states)
def test_a_state_reads_back_in_every_bit(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save_state(path, state)
    assert same(load_state(path), state)


def test_numbers_that_are_not_finite_read_back(tmp_path: Path) -> None:
    save_state(tmp_path / "s", [float("inf"), float("-inf"), float("nan")])
    assert [str(value) for value in load_state(tmp_path / "s")] == ["inf", "-inf", "nan"]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_an_optimiser_reads_back_and_goes_on_as_before(tmp_path: Path, optimizer: type[torch.optim.Optimizer]) -> None:
    def step(weight: Tensor, by: torch.optim.Optimizer) -> Tensor:
        weight.grad = weight.detach() + 1
        by.step()
        return weight.detach().clone()

    weight = nn.Parameter(torch.ones(3))
    first = optimizer([weight], lr=0.1, weight_decay=0.01)  # type: ignore[call-arg]
    save_state(tmp_path / "s", {"weight": step(weight, first), "optimizer": first.state_dict()})
    state = load_state(tmp_path / "s")
    copied = nn.Parameter(state["weight"])
    second = optimizer([copied], lr=0.5)  # type: ignore[call-arg]
    second.load_state_dict(state["optimizer"])
    assert torch.equal(step(weight, first), step(copied, second))


def test_tensors_that_share_memory_or_need_gradients_are_saved(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))
    save_state(tmp_path / "s", {"one": weight, "other": weight.T})
    state = load_state(tmp_path / "s")
    assert torch.equal(state["one"], weight)
    assert torch.equal(state["other"], weight.T)


@pytest.mark.parametrize("state", [object(), {1.5: 0}, [{True: 0}], {"set": {1}}])
def test_anything_else_in_a_state_is_a_type_error(tmp_path: Path, state: Any) -> None:
    with pytest.raises(TypeError, match="a state holds no"):
        save_state(tmp_path / "s", state)
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    for value in (1, 2):
        save_state(tmp_path / "s", {"value": value})
    assert load_state(tmp_path / "s") == {"value": 2}
    assert [file.name for file in tmp_path.iterdir()] == ["s"]


@given(keep=st.floats(0, 1, exclude_max=True))
@settings(max_examples=30)
def test_a_cut_off_file_is_a_file_error(tmp_path_factory: pytest.TempPathFactory, keep: float) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.safetensors"
    save_state(path, {"a": torch.arange(5), "b": [1, 2]})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(FileError, match=r"cut\.safetensors"):
        load_state(path)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "holds no state of millis"),
        ({"schema": "1", "kind": "weights"}, "but weights"),
        ({"schema": "2", "kind": "state", "tree": "{}"}, "version 2"),
        ({"schema": "1", "kind": "state"}, "not a whole state"),
        ({"schema": "1", "kind": "state", "tree": "{"}, "not a whole state"),
        ({"schema": "1", "kind": "state", "tree": "[1]"}, "not a whole state"),
        ({"schema": "1", "kind": "state", "tree": '{"tensor": "7"}'}, "not a whole state"),
        ({"schema": "1", "kind": "state", "tree": '{"set": [1]}'}, "not a whole state"),
        ({"schema": "1", "kind": "state", "tree": '{"dict": [1]}'}, "not a whole state"),
    ],
)
def test_a_file_of_another_kind_or_version_is_a_file_error(
    tmp_path: Path, metadata: dict[str, str] | None, message: str
) -> None:
    save_file({"a": torch.zeros(2)}, tmp_path / "s", metadata=metadata)
    with pytest.raises(FileError, match=message):
        load_state(tmp_path / "s")


def test_a_missing_file_is_a_file_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such state"):
        load_state(tmp_path / "none")


def test_weights_keep_their_names_and_read_back(tmp_path: Path) -> None:
    one, other = network(), network()
    save_weights(tmp_path / "w.safetensors", one)
    load_weights(tmp_path / "w.safetensors", other)
    assert load_file(tmp_path / "w.safetensors").keys() == one.state_dict().keys()
    assert same(dict(one.state_dict()), dict(other.state_dict()))


def test_weights_of_another_network_are_a_file_error(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", network(8))
    with pytest.raises(FileError, match="weights of another network"):
        load_weights(tmp_path / "w", network(16))
