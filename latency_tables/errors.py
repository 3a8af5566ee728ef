"""Errors of latency tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from profilers.errors import MillisError

if TYPE_CHECKING:
    from latency_tables.foreign import Problem
    from profilers.op_spec import OpSpec


class MissingOpError(MillisError, LookupError):
    """The table has no entry for an operation; it is never replaced by a default."""


class TableImportError(MillisError):
    """Another project's table that cannot be taken as it is; `problems` are all of them, row by row."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class TableExportError(MillisError):
    """A table with operations that a format has no words for."""

    def __init__(self, message: str, ops: tuple[OpSpec, ...]) -> None:
        super().__init__(message)
        self.ops = ops
