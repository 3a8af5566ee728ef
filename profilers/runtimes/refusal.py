"""A converter's refusal, told in one line."""

from __future__ import annotations

from profilers.errors import CompileError

# What a converter, or the module that it traces, raises.
REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def refusal(converter: str, error: BaseException) -> CompileError:
    """The first line of the innermost cause: those around it tell only which stage of the converter failed."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error.args[0] if error.args else "").strip().splitlines() or ["no reason given"]
    return CompileError(f"{converter} refused the module: {type(error).__name__}: {lines[0]}")
