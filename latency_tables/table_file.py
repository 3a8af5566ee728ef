"""The file of a latency table: YAML with units, diff-able, versioned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from latency_tables.calibration import Calibration
from latency_tables.table import Latency, LatencyTable
from profilers.environment import Environment
from profilers.errors import FileError, TargetError
from profilers.files import read_yaml, write_atomic
from profilers.op_spec import OpSpec
from profilers.protocol import Protocol
from profilers.target import Target

# Version of the table file. 1: target, environment, protocol, calibration, entries by operation, all times in ms.
SCHEMA = 1

_HEAD = """\
# A latency table of millis: what each operation costs on one target, measured alone; all times in milliseconds.
# calibration: a network costs base_ms, each operation in it scale * ms + per_op_ms, where ms is the statistic of the
# protocol; networks: the evidence.
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
        return LatencyTable(
            target=Target.parse(document.target),
            environment=Environment(document.environment),
            protocol=document.protocol,
            entries=_by_op(document.entries),
            calibration=document.calibration,
            path=path,
        )
    except (TargetError, ValueError) as error:
        raise FileError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    target: str
    environment: dict[str, str]
    protocol: Protocol
    calibration: Calibration
    entries: dict[str, Latency]


def _by_op(entries: Mapping[str, Latency]) -> dict[OpSpec, Latency]:
    """Raises ValueError for a text that is no operation and for two texts of one operation."""
    by_op: dict[OpSpec, Latency] = {}
    for text, latency in entries.items():
        try:
            op = OpSpec.parse(text)
        except ValueError as error:
            raise ValueError(f"entries: {error}") from None
        if op in by_op:
            raise ValueError(f"entries: {str(op)!r} stands there twice")
        by_op[op] = latency
    return by_op


def _rounded(value: Any) -> Any:
    """Floats to six significant digits, the nanoseconds of anything worth timing; tuples to lists."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value
