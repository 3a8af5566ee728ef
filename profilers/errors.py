"""Every error that millis raises for a reason a user can mend.

    MillisError
    ├── FileError            a file of ours is missing, malformed or of another schema version
    ├── TargetError          a target that cannot be understood or that nothing here serves
    ├── CompileError         a module that a runtime's converter refused
    ├── DeviceError          the device refused, or failed at, what was asked
    │   └── DeviceLostError  it is gone: a connection was lost, a timing process died; asking again may help
    └── EnvironmentMismatchError   measurements of different environments would be mixed

The command line prints the message as one line and exits with `exit_code`; packages to the right add their own kinds.
"""

from __future__ import annotations


class MillisError(Exception):
    """A failure with one line that says what, where and what to do."""

    exit_code = 1


class FileError(MillisError):
    """A file of ours is missing, malformed or of another schema version."""


class TargetError(MillisError):
    """A target that cannot be understood or that nothing here serves."""


class CompileError(MillisError):
    """A module that a runtime's converter refused."""


class DeviceError(MillisError):
    """The device refused, or failed at, what was asked."""


class DeviceLostError(DeviceError):
    """The device is gone: a connection was lost, a timing process died. Asking again may help."""


class EnvironmentMismatchError(MillisError):
    """Measurements of different environments would be mixed in one table."""
