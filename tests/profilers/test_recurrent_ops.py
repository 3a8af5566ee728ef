from __future__ import annotations

import pytest
import torch

from profilers.op_spec import OpSpec
from profilers.recurrent_ops import Entry, Mean
from profilers.shape import Shape

TEXTS = (
    "highway in=1x1x24 act=tanh",
    "highway in=1x1x24 act=relu",
    "highway in=1x1x24 act=sigmoid",
    "highway in=1x1x24 act=identity",
    "entry in=1x1x40 out=24",
    "embed in=1x1x25 out=24 vocab=10",
    "decode in=1x1x24 out=10",
    "mean in=1x1x24",
)


@pytest.mark.parametrize("text", TEXTS)
def test_the_text_form_reads_back(text: str) -> None:
    assert str(OpSpec.parse(text)) == text


@pytest.mark.parametrize("text", TEXTS)
def test_a_module_gives_what_its_operation_says(text: str) -> None:
    op = OpSpec.parse(text)
    found = op.module()(torch.randn(2, op.in_shape.channels, 1, 1))
    assert found.shape == (2, op.out_shape.channels)


@pytest.mark.parametrize("text", [text for text in TEXTS if "embed" not in text])
def test_parameters_are_those_of_the_module(text: str) -> None:
    op = OpSpec.parse(text)
    assert op.params == sum(parameter.numel() for parameter in op.module().parameters())


def test_an_embedding_is_counted_where_it_decodes() -> None:
    assert OpSpec.parse("embed in=1x1x1 out=24 vocab=10").params == 0


@pytest.mark.parametrize("text", [text for text in TEXTS if text.split()[0] in {"highway", "entry", "decode"}])
def test_macs_are_those_of_the_products(text: str) -> None:
    op = OpSpec.parse(text)
    assert op.macs == sum(layer.weight.numel() for layer in op.module().modules() if isinstance(layer, torch.nn.Linear))


def test_an_entry_of_two_inputs_takes_the_state_from_the_second() -> None:
    op = OpSpec(Entry(24), Entry(24).join([Shape(1, 1, 16), Shape(1, 1, 25)]))
    module, x, packed = op.module(), torch.randn(2, 16), torch.randn(2, 25, 1, 1)
    torch.testing.assert_close(module(x, packed), module(torch.cat([x, packed[:, 1:, 0, 0]], dim=1)))


def test_a_mean_of_different_shapes_is_an_error() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        Mean().join([Shape(1, 1, 8), Shape(1, 1, 9)])


@pytest.mark.parametrize(
    "text", ["highway in=2x2x8 act=tanh", "entry in=1x1x8 out=8", "decode in=1x2x8 out=3", "highway in=1x1x8 act=elu"]
)
def test_operations_that_misfit_are_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"must|none of"):
        _ = OpSpec.parse(text).out_shape
