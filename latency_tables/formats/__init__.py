"""Formats of latency tables. Every module here is one, and adding one is adding a file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Protocol, cast

from latency_tables.errors import TableImportError
from latency_tables.foreign import ForeignTable, Unit
from latency_tables.table import Latency
from profilers.op_spec import OpSpec
from profilers.precision import Precision
from profilers.protocol import Statistic
from profilers.target import Target


class Format(Protocol):
    """What each module here gives. A key is what names the operation in a row."""

    DESCRIPTION: str  # whose, and what its numbers mean
    UNIT: Unit

    def read(self, text: str) -> ForeignTable:
        """Every row of a file, as one of ours or as a problem; raises TableImportError where it has no rows at all."""

    def op_of(self, key: str) -> OpSpec:
        """Raises RowError, or ValueError, for what is no operation of ours."""

    def key_of(self, op: OpSpec, precision: Precision, /) -> str | None:
        """None for a kind of operation that the format lacks. What it cannot say of `op` is left out: read it back."""

    def write(self, entries: Mapping[str, Latency], statistic: Statistic, target: Target, /) -> str:
        """The text of a file, its entries by key."""


def formats() -> tuple[str, ...]:
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def load_format(name: str) -> Format:
    """The format of that name; raises TableImportError where there is none."""
    if name not in formats():
        raise TableImportError(f"no format {name!r}; there are: {', '.join(formats())}")
    return cast(Format, import_module(f"{__name__}.{name}"))
