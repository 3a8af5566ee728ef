"""`OpSpec`: one operation on one input shape, the key of every latency table."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from typing import TYPE_CHECKING, get_args, get_type_hints

from profilers import (  # noqa: F401 - registers the operations that a text may name
    cell_ops,
    mobile_ops,
    nasnet_ops,
    operations,
    recurrent_ops,
    residual_ops,
)
from profilers.cost import Cost
from profilers.operation import OPERATIONS, Operation, require
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn


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
            require(kind in OPERATIONS, f"no operation {kind!r}; there are {', '.join(sorted(OPERATIONS))}")
            values = _read_pairs(words)
            require("in" in values, "in= is missing")
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
        require(bool(equals and name and value), f"{word!r} is not name=value")
        require(name not in values, f"{name}= is given twice")
        values[name] = value
    return values


def _read_operation(cls: type[Operation], values: dict[str, str]) -> Operation:
    hints = get_type_hints(cls)
    known = {f.name: f.default for f in fields(cls)}  # type: ignore[arg-type]
    for name in values:
        require(name in known, f"no field {name!r}; there are {', '.join(known) or 'none'}")
    for name, default in known.items():
        require(name in values or default is not MISSING, f"{name}= is missing")
    return cls(**{name: _read_value(name, value, hints[name]) for name, value in values.items()})


def _read_value(name: str, value: str, hint: object) -> object:
    if hint is int:
        require(value.isascii() and value.isdigit(), f"{name}={value} is not a whole number")
        return int(value)
    choices = get_args(hint)
    require(value in choices, f"{name}={value} is none of {', '.join(choices)}")
    return value
