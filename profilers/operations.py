"""The operations that networks are made of, and `OpSpec`, the key of every latency table.

An operation is a frozen dataclass registered under its name. Its fields are everything, apart from the input shape,
that changes its kernel. Adding one takes a dataclass here or in your own module:

    @operation("blur")
    @dataclass(frozen=True, slots=True)
    class Blur:
        kernel: int
        ...label, out_shape, cost, module
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar, get_args, get_type_hints

from profilers import cost
from profilers.cost import Cost
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["none", "relu", "relu6", "hswish"]


class Operation(Protocol):
    """What a layer computes, whatever shape it is given."""

    @property
    def label(self) -> str:
        """Short name among the candidates of one decision, such as `k5e3`."""

    @property
    def free(self) -> bool:
        """Whether the operation leaves no kernel in a compiled network, and so costs nothing."""

    def out_shape(self, in_shape: Shape) -> Shape: ...

    def cost(self, in_shape: Shape) -> Cost: ...

    def module(self, in_shape: Shape) -> nn.Module:
        """A new module: [N, C, H, W] -> [N, C', H', W'] (classifier: [N, classes])."""


OPERATIONS: dict[str, type[Operation]] = {}

_T = TypeVar("_T", bound=type)


def operation(name: str) -> Callable[[_T], _T]:
    """Register a frozen dataclass as an operation; a name that is taken raises ValueError."""

    def register(cls: _T) -> _T:
        if name in OPERATIONS:
            raise ValueError(f"operation {name!r} is already {OPERATIONS[name].__qualname__}")
        OPERATIONS[name] = cls
        return cls

    return register


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_conv(out: int, kernel: int, stride: int) -> None:
    _require(out >= 1, f"out={out} must be at least 1")
    _require(kernel >= 1 and kernel % 2 == 1, f"kernel={kernel} must be odd and at least 1")
    _require(stride >= 1, f"stride={stride} must be at least 1")


@operation("conv")
@dataclass(frozen=True, slots=True)
class Conv:
    """Convolution, batch normalisation, activation: the stem and the head of a network."""

    out: int
    kernel: int = 1
    stride: int = 1
    act: Activation = "relu6"

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)

    @property
    def label(self) -> str:
        return f"k{self.kernel}"

    @property
    def free(self) -> bool:
        return False

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.conv_bn(in_shape, self.out_shape(in_shape), self.kernel)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.conv_bn_act(in_shape.channels, self.out, self.kernel, stride=self.stride, act=self.act)


@operation("mbconv")
@dataclass(frozen=True, slots=True)
class MBConv:
    """Inverted bottleneck (arXiv:1801.04381): expand, depthwise, [squeeze-excite], project.

    `expand` 1 leaves the first convolution out; `se` is the hidden width of squeeze-excite, 0 for none. The input is
    added to the output where stride is 1 and the shapes agree.
    """

    out: int
    kernel: int = 3
    stride: int = 1
    expand: int = 1
    act: Activation = "relu6"
    se: int = 0

    def __post_init__(self) -> None:
        _check_conv(self.out, self.kernel, self.stride)
        _require(self.expand >= 1, f"expand={self.expand} must be at least 1")
        _require(self.se >= 0, f"se={self.se} must not be negative")

    @property
    def label(self) -> str:
        return f"k{self.kernel}e{self.expand}" + (f"se{self.se}" if self.se else "")

    @property
    def free(self) -> bool:
        return False

    def has_shortcut(self, in_shape: Shape) -> bool:
        return self.stride == 1 and in_shape.channels == self.out

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        wide = in_shape.strided(1, in_shape.channels * self.expand)
        narrow = wide.strided(self.stride)
        out = self.out_shape(in_shape)
        total = cost.conv_bn(wide, narrow, self.kernel, groups=wide.channels) + cost.conv_bn(narrow, out, 1)
        if self.expand > 1:
            total += cost.conv_bn(in_shape, wide, 1)
        if self.se:
            total += cost.squeeze_excite(narrow, self.se)
        if self.has_shortcut(in_shape):
            total += cost.residual_add(out)
        return total

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.MBConvBlock(self, in_shape)


@operation("classifier")
@dataclass(frozen=True, slots=True)
class Classifier:
    """Global average pooling and a linear layer with bias: [N, C, H, W] -> logits [N, out]."""

    out: int

    def __post_init__(self) -> None:
        _require(self.out >= 1, f"out={self.out} must be at least 1")

    @property
    def label(self) -> str:
        return "classifier"

    @property
    def free(self) -> bool:
        return False

    def out_shape(self, in_shape: Shape) -> Shape:
        return Shape(1, 1, self.out)

    def cost(self, in_shape: Shape) -> Cost:
        return cost.global_pool(in_shape) + cost.linear(in_shape.channels, self.out)

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.ClassifierBlock(in_shape.channels, self.out)


@operation("identity")
@dataclass(frozen=True, slots=True)
class Identity:
    """The input itself: choosing it removes the layer."""

    @property
    def label(self) -> str:
        return "identity"

    @property
    def free(self) -> bool:
        return True

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def cost(self, in_shape: Shape) -> Cost:
        return Cost()

    def module(self, in_shape: Shape) -> nn.Module:
        from torch import nn

        return nn.Identity()


@operation("zero")
@dataclass(frozen=True, slots=True)
class Zero:
    """Zeros of the (strided) input shape: choosing it removes an edge."""

    stride: int = 1

    def __post_init__(self) -> None:
        _require(self.stride >= 1, f"stride={self.stride} must be at least 1")

    @property
    def label(self) -> str:
        return "zero"

    @property
    def free(self) -> bool:
        return True

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape.strided(self.stride)

    def cost(self, in_shape: Shape) -> Cost:
        return Cost()

    def module(self, in_shape: Shape) -> nn.Module:
        from profilers import blocks

        return blocks.ZeroBlock(self.stride)


@dataclass(frozen=True, slots=True)
class OpSpec:
    """One operation on one input shape: everything that changes its kernel.

    Its text form, `mbconv in=28x28x24 out=40 kernel=5 stride=2 expand=6 act=relu6 se=0`, is canonical: equal specs have
    equal texts, and the text parses back.
    """

    operation: Operation
    in_shape: Shape

    @property
    def kind(self) -> str:
        return next(name for name, cls in OPERATIONS.items() if cls is type(self.operation))

    @property
    def label(self) -> str:
        return self.operation.label

    @property
    def free(self) -> bool:
        return self.operation.free

    @property
    def out_shape(self) -> Shape:
        return self.operation.out_shape(self.in_shape)

    @property
    def cost(self) -> Cost:
        return self.operation.cost(self.in_shape)

    @property
    def macs(self) -> int:
        return self.cost.macs

    @property
    def params(self) -> int:
        return self.cost.params

    def bytes_moved(self, bytes_per_element: int = 4) -> int:
        return self.cost.elements_moved * bytes_per_element

    def module(self) -> nn.Module:
        return self.operation.module(self.in_shape)

    @staticmethod
    def parse(text: str) -> OpSpec:
        """Read the text form; fields with a default may be left out. Raises ValueError naming what is wrong."""
        kind, *words = text.split() or [""]
        try:
            _require(kind in OPERATIONS, f"no operation {kind!r}; there are {', '.join(sorted(OPERATIONS))}")
            values = _read_pairs(words)
            _require("in" in values, "in= is missing")
            in_shape = Shape.parse(values.pop("in"))
            return OpSpec(_read_operation(OPERATIONS[kind], values), in_shape)
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None

    def __str__(self) -> str:
        values = (f"{f.name}={getattr(self.operation, f.name)}" for f in fields(self.operation))  # type: ignore[arg-type]
        return " ".join([self.kind, f"in={self.in_shape}", *values])


def _read_pairs(words: list[str]) -> dict[str, str]:
    values: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        _require(bool(equals and name and value), f"{word!r} is not name=value")
        _require(name not in values, f"{name}= is given twice")
        values[name] = value
    return values


def _read_operation(cls: type[Operation], values: dict[str, str]) -> Operation:
    hints = get_type_hints(cls)
    known = {f.name: f.default for f in fields(cls)}  # type: ignore[arg-type]
    for name in values:
        _require(name in known, f"no field {name!r}; there are {', '.join(known) or 'none'}")
    for name, default in known.items():
        _require(name in values or default is not MISSING, f"{name}= is missing")
    return cls(**{name: _read_value(name, value, hints[name]) for name, value in values.items()})


def _read_value(name: str, value: str, hint: object) -> object:
    if hint is int:
        _require(value.isascii() and value.isdigit(), f"{name}={value} is not a whole number")
        return int(value)
    choices = get_args(hint)
    _require(value in choices, f"{name}={value} is none of {', '.join(choices)}")
    return value
