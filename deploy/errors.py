"""Errors of shipping a network, under MillisError: ParityError, PackagerError, BundleError."""

from __future__ import annotations

from profilers.errors import MillisError


class ParityError(MillisError):
    """An exported file does not compute what PyTorch computes."""


class PackagerError(MillisError):
    """No such packager, or one that needs another kind of file."""


class BundleError(MillisError):
    """A bundle that cannot be written, or whose files are not what its manifest says."""
