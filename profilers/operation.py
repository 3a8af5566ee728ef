"""What an operation is, and the registry of them.

An operation is a frozen dataclass registered under its name. Its fields are everything, apart from the input shape,
that changes its kernel. Adding one takes a dataclass, in `profilers.operations` or in your own module:

    @operation("blur")
    @dataclass(frozen=True, slots=True)
    class Blur:
        kernel: int
        ...label, free, out_shape, cost, module
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from profilers.cost import Cost
from profilers.shape import Shape

if TYPE_CHECKING:
    from torch import nn


class Operation(Protocol):
    """What a layer computes, whatever shape it is given.

    One of several inputs also has `join(shapes) -> Shape`: the one input shape that stands for theirs. It raises
    ValueError where they do not fit together. Its module takes as many tensors.
    """

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


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
