"""The operations of a recurrent language model, one token at a time (arXiv:1806.09055, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from profilers import cost
from profilers.cost import Cost
from profilers.operation import operation, require
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn

CellActivation = Literal["tanh", "relu", "sigmoid", "identity"]


def _matrix(rows: int, columns: int) -> Cost:
    """The product of a vector of `rows` with a matrix, without bias."""
    weights = rows * columns
    return Cost(macs=weights, params=weights, elements_moved=rows + weights + columns)


def _flat(in_shape: Shape) -> int:
    require(in_shape[:2] == (1, 1), f"in={in_shape} must be a vector, 1x1xC")
    return in_shape.channels


@operation("highway")
@dataclass(frozen=True, slots=True)
class Highway:
    """A node of the cell: s + sigmoid(c) * (act(g) - s), where [c, g] = s W; [N, H] -> [N, H]."""

    act: CellActivation
    free: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return self.act

    def out_shape(self, in_shape: Shape) -> Shape:
        return Shape(1, 1, _flat(in_shape))

    def cost(self, in_shape: Shape) -> Cost:
        hidden = _flat(in_shape)
        return _matrix(hidden, 2 * hidden) + Cost(elements_moved=4 * hidden)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import recurrent_blocks

        return recurrent_blocks.HighwayBlock(_flat(in_shape), self.act)


@operation("entry")
@dataclass(frozen=True, slots=True)
class Entry:
    """Where a token enters the cell: h + sigmoid(c) * (tanh(g) - h), where [c, g] = [x, h] W; [N, I + H] -> [N, H].

    The state h is the last `out` channels of the input; of two inputs, x and one that ends with h, of the second.
    """

    out: int
    label: ClassVar[str] = "entry"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.out >= 1, f"out={self.out} must be at least 1")

    def join(self, shapes: Sequence[Shape]) -> Shape:
        require(0 < len(shapes) <= 2, f"entry: takes one input or two, not {len(shapes)}")
        return shapes[0] if len(shapes) == 1 else Shape(1, 1, _flat(shapes[0]) + self.out)

    def out_shape(self, in_shape: Shape) -> Shape:
        require(_flat(in_shape) > self.out, f"in={in_shape} must hold more than the state, out={self.out}")
        return Shape(1, 1, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return _matrix(_flat(in_shape), 2 * self.out) + Cost(elements_moved=4 * self.out)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import recurrent_blocks

        return recurrent_blocks.EntryBlock(self.out_shape(in_shape).channels, _flat(in_shape) - self.out)


@operation("embed")
@dataclass(frozen=True, slots=True)
class Embed:
    """The row of a token, which is the first channel: [N, C] -> [N, out].

    Its rows are the decoder's weights, where they count as parameters.
    """

    out: int
    vocab: int
    label: ClassVar[str] = "embed"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.out >= 1, f"out={self.out} must be at least 1")
        require(self.vocab >= 1, f"vocab={self.vocab} must be at least 1")

    def out_shape(self, in_shape: Shape) -> Shape:
        _flat(in_shape)
        return Shape(1, 1, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return Cost(elements_moved=1 + 2 * self.out)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import recurrent_blocks

        return recurrent_blocks.EmbedBlock(self.vocab, self.out)


@operation("decode")
@dataclass(frozen=True, slots=True)
class Decode:
    """Logits of the next token, by a linear layer with bias: [N, H] -> [N, out]."""

    out: int
    label: ClassVar[str] = "decode"
    free: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.out >= 1, f"out={self.out} must be at least 1")

    def out_shape(self, in_shape: Shape) -> Shape:
        _flat(in_shape)
        return Shape(1, 1, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.linear(_flat(in_shape), self.out)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import recurrent_blocks

        return recurrent_blocks.DecodeBlock(_flat(in_shape), self.out)


@operation("mean")
@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of all its inputs, which are of one shape: the next state of a cell. Never timed alone."""

    label: ClassVar[str] = "mean"
    free: ClassVar[bool] = True

    def join(self, shapes: Sequence[Shape]) -> Shape:
        require(len(set(shapes)) == 1, f"mean: its inputs differ in shape: {', '.join(map(str, shapes))}")
        return shapes[0]

    def out_shape(self, in_shape: Shape) -> Shape:
        return Shape(1, 1, _flat(in_shape))

    def cost(self, in_shape: Shape) -> Cost:
        return Cost()

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import recurrent_blocks

        return recurrent_blocks.MeanBlock()
