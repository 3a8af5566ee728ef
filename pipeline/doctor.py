"""What this machine can profile, export and package, and what it lacks."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

from deploy.packagers import PACKAGERS, load_packager
from profilers.check import Check
from profilers.devices import Reachable, device_kinds, load_device_kind
from profilers.errors import MillisError
from profilers.runtimes import RUNTIMES, installed, runtime_check


def examine() -> tuple[Check, ...]:
    """Every check, those of profiling first."""
    profiling = [check for kind in device_kinds() for check in load_device_kind(kind).checks()]
    return (*profiling, *(_packaging(name) for name in PACKAGERS))


def reachable_devices() -> tuple[Reachable, ...]:
    """Every device that a target can name right now."""
    return tuple(device for kind in device_kinds() for device in load_device_kind(kind).reachable())


def _packaging(name: str) -> Check:
    """A bundle needs what writes and checks the files of its runtimes, of several one; and what it packs with them."""
    packager, purpose = load_packager(name), f"export and package {name}"
    checks = [_making(runtime) for runtime in packager.runtimes]
    able = [check for check in checks if check.ok]
    told = ", ".join(dict.fromkeys(check.found for check in able or checks))
    if not able:
        return Check(name=purpose, ok=False, found=told, mend=checks[0].mend)
    try:
        packager.require()
    except MillisError as error:
        lacking, _, mend = str(error).partition(": ")
        return Check(name=purpose, ok=False, found=lacking, mend=mend or lacking)
    return Check(name=purpose, ok=True, found=told)


def _making(runtime: str) -> Check:
    """Whether the files of a runtime can be made here; Core ML ones can, though nothing here runs them."""
    if runtime in RUNTIMES:
        return runtime_check(runtime)
    try:
        return Check(name=runtime, ok=True, found=installed("coremltools"))
    except PackageNotFoundError as error:
        return Check(name=runtime, ok=False, found=f"no {error.name}", mend="pip install 'millis[coreml]'")
