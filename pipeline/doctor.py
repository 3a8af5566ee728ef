"""What this machine can profile, export and package, and what it lacks."""

from __future__ import annotations

from deploy.packagers import PACKAGERS, load_packager
from profilers.check import Check
from profilers.devices import Reachable, device_kinds, load_device_kind
from profilers.runtimes import RUNTIMES, load_runtime, runtime_check


def examine() -> tuple[Check, ...]:
    """Every check, those of profiling first."""
    profiling = [check for kind in device_kinds() for check in load_device_kind(kind).checks()]
    return (*profiling, *(_packaging(name) for name in PACKAGERS))


def reachable_devices() -> tuple[Reachable, ...]:
    """Every device that a target can name right now."""
    return tuple(device for kind in device_kinds() for device in load_device_kind(kind).reachable())


def _packaging(name: str) -> Check:
    """A bundle needs what writes and checks its model file."""
    made = load_packager(name).format
    runtime = next(runtime for runtime in RUNTIMES if load_runtime(runtime).format == made)
    check = runtime_check(runtime)
    return Check(name=f"export and package {name}", ok=check.ok, found=check.found, mend=check.mend)
