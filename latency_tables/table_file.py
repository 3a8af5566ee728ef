"""The file of a latency table: YAML with units, diff-able, versioned."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from latency_tables.calibration import Calibration
from latency_tables.table import Latency, LatencyTable
from profilers.environment import Environment
from profilers.errors import FileError, TargetError
from profilers.files import read_yaml, write_atomic
from profilers.operations import OpSpec
from profilers.protocol import Protocol
from profilers.target import Target

# Version of the table file. 1: target, environment, protocol, calibration, entries by operation, all times in ms.
SCHEMA = 1

_HEAD = """\
# A latency table of millis: what each operation costs on one target, measured alone; all times in milliseconds.
# calibration: a network costs base_ms, each operation in it scale * median_ms + per_op_ms; networks: the evidence.
"""


def save_table(table: LatencyTable, path: Path) -> None:
    """Write the table; the same table gives the same bytes."""
    import yaml

    document: dict[str, Any] = {
        "schema": SCHEMA,
        "target": str(table.target),
        "environment": dict(table.environment.facts),
        "protocol": asdict(table.protocol),
        "calibration": _rounded(asdict(table.calibration)),
        "entries": {str(op): _rounded(asdict(latency)) for op, latency in table.entries.items()},
    }
    write_atomic(path, _HEAD + yaml.safe_dump(document, sort_keys=False, width=1000, default_flow_style=False))


def load_table(path: Path) -> LatencyTable:
    """Read a table; raises FileError naming file and field."""
    document = read_yaml(path, _Document, kind="latency table", schema=SCHEMA)
    try:
        target = Target.parse(document.target)
    except TargetError as error:
        raise FileError(f"{path}: target: {error}") from None
    return LatencyTable(
        target=target,
        environment=Environment(document.environment),
        protocol=document.protocol,
        entries={_op(path, text): latency for text, latency in document.entries.items()},
        calibration=document.calibration,
        path=path,
    )


@dataclass(frozen=True, kw_only=True)
class _Document:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    target: str
    environment: dict[str, str]
    protocol: Protocol
    calibration: Calibration
    entries: dict[str, Latency]

    def __post_init__(self) -> None:
        for text, latency in self.entries.items():
            if not 0 < latency.median_ms < float("inf"):
                raise ValueError(f"{text}: median_ms {latency.median_ms} is not a latency")


def _op(path: Path, text: str) -> OpSpec:
    try:
        return OpSpec.parse(text)
    except ValueError as error:
        raise FileError(f"{path}: entries: {error}") from None


def _rounded(value: Any) -> Any:
    """Floats to six significant digits, the nanoseconds of anything worth timing; tuples to lists."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
