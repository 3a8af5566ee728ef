"""What is measured for: device, runtime, accelerator, precision, threads, batch."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import ClassVar, Literal, get_args

from profilers.errors import TargetError
from profilers.precision import Precision
from profilers.runtimes import RUNTIMES, load_runtime

# Which cores a measurement is pinned to: as many as it has threads of the fastest, or the slowest, or none.
Cores = Literal["big", "little", "any"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where a network will run, written `local:litert?threads=2` or as a YAML file of these fields."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    device: str = "local"
    runtime: str
    accelerator: str = "cpu"
    precision: Precision = "fp32"
    threads: int = 1
    cores: Cores = "big"
    batch: int = 1

    def __post_init__(self) -> None:
        _check_choice("runtime", self.runtime, tuple(RUNTIMES))
        runtime = load_runtime(self.runtime)
        _check_choice("accelerator", self.accelerator, runtime.accelerators, of=self.runtime)
        _check_choice("precision", self.precision, runtime.precisions, of=self.runtime)
        _check_choice("cores", self.cores, get_args(Cores))
        for name in ("threads", "batch"):
            if getattr(self, name) < 1:
                raise TargetError(f"target: {name}={getattr(self, name)} must be at least 1")

    @staticmethod
    def parse(text: str) -> Target:
        """Read `DEVICE:RUNTIME[?option=value&…]` or the path of a YAML file; raises TargetError, FileError."""
        return _from_file(Path(text)) if text.endswith((".yaml", ".yml")) else Target.from_text(text)

    @staticmethod
    def from_text(text: str) -> Target:
        """Read `DEVICE:RUNTIME[?option=value&…]` and no file, as of what a stranger wrote; raises TargetError."""
        place, _, query = text.partition("?")
        device, colon, runtime = place.rpartition(":")
        if not colon or not device:
            raise TargetError(
                f"target {text!r}: write DEVICE:RUNTIME, as in local:onnxruntime or local:litert?threads=2"
            )
        return Target(device=device, runtime=runtime, **_options(text, query))  # type: ignore[arg-type]

    @property
    def kind(self) -> str:
        """Of its device: local, ssh, adb, browser."""
        return self.device.partition(":")[0]

    @property
    def place(self) -> Target:
        """Where it measures, whatever the precision."""
        return replace(self, precision="fp32")

    @property
    def slug(self) -> str:
        """A file name for this target: `local-litert-threads-2`."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", str(self)).strip("-")

    def __str__(self) -> str:
        options = [
            f"{f.name}={getattr(self, f.name)}"
            for f in fields(self)
            if f.name not in {"device", "runtime"} and getattr(self, f.name) != f.default
        ]
        return f"{self.device}:{self.runtime}" + ("?" + "&".join(options) if options else "")


def _from_file(path: Path) -> Target:
    from profilers.files import read_yaml

    try:
        return read_yaml(path, Target, kind="target")
    except TargetError as error:
        raise TargetError(f"{path}: {error}") from None


def _options(text: str, query: str) -> dict[str, str | int]:
    options: dict[str, str | int] = {}
    for word in query.split("&") if query else []:
        name, _, value = word.partition("=")
        if name in options:
            raise TargetError(f"target {text!r}: {name} is given twice")
        if name in {"threads", "batch"}:
            if not re.fullmatch("[0-9]{1,6}", value):
                raise TargetError(f"target {text!r}: {name}={value!r} is not a whole number of at most six digits")
            options[name] = int(value)
        elif name in {"accelerator", "precision", "cores"}:
            options[name] = value
        else:
            known = "accelerator, precision, threads, cores, batch"
            raise TargetError(f"target {text!r}: no option {name!r}; there are {known}")
    return options


def _check_choice(field: str, value: str, choices: tuple[str, ...], *, of: str = "") -> None:
    if value not in choices:
        where = f" for {of}" if of else ""
        raise TargetError(f"target: {field} {value!r} is not available{where}; there are: {', '.join(choices)}")
