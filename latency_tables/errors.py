"""Errors of latency tables."""

from __future__ import annotations

from profilers.errors import MillisError


class MissingOpError(MillisError, LookupError):
    """The table has no entry for an operation; it is never replaced by a default."""
