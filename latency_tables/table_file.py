"""The file of a latency table: YAML with units, diff-able, versioned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from latency_tables.calibration import MeasuredNetwork
from latency_tables.table import Latency, LatencyTable
from profilers.environment import Environment
from profilers.errors import FileError, TargetError
from profilers.files import read_yaml, write_atomic
from profilers.op_spec import OpSpec
from profilers.protocol import Protocol
from profilers.target import Target

# Version of the table file.
# 1: target, environment, protocol, calibration, entries by operation, all times in ms
# 2: space; drift; networks with their operations in place of three numbers of calibration; an entry tells its source,
#    and only the latencies that are known
SCHEMA = 2

_HEAD = """\
# A latency table of millis: what each operation costs on one target, measured alone; all times in milliseconds.
# networks: whole networks measured beside them, from which what an operation adds to a network is learnt.
"""


def save_table(table: LatencyTable, path: Path) -> None:
    """Write the table; the same table gives the same bytes."""
    import yaml

    document: dict[str, Any] = {
        "schema": SCHEMA,
        "target": str(table.target),
        "space": table.space,
        "environment": dict(table.environment.facts),
        "protocol": asdict(table.protocol),
        "drift": float(f"{table.drift:.3g}"),
        "entries": {str(op): _row(latency) for op, latency in table.entries.items()},
        "networks": [_row(network) | {"ops": [str(op) for op in network.ops]} for network in table.networks],
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
            networks=tuple(map(_network, document.networks)),
            drift=document.drift,
            space=document.space,
            path=path,
        )
    except (TargetError, ValueError) as error:
        raise FileError(f"{path}: {error}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Network:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    name: str
    measured_ms: float
    spread: float
    ops: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Document:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    target: str
    space: str
    environment: dict[str, str]
    protocol: Protocol
    drift: float
    entries: dict[str, Latency]
    networks: list[_Network]


def _network(read: _Network) -> MeasuredNetwork:
    return MeasuredNetwork(
        name=read.name,
        ops=tuple(_op(text, read.name) for text in read.ops),
        measured_ms=read.measured_ms,
        spread=read.spread,
    )


def _by_op(entries: Mapping[str, Latency]) -> dict[OpSpec, Latency]:
    """Raises ValueError for a text that is no operation and for two texts of one operation."""
    by_op: dict[OpSpec, Latency] = {}
    for text, latency in entries.items():
        op = _op(text, "entries")
        if op in by_op:
            raise ValueError(f"entries: {str(op)!r} stands there twice")
        by_op[op] = latency
    return by_op


def _op(text: str, where: str) -> OpSpec:
    try:
        return OpSpec.parse(text)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _row(value: Latency | MeasuredNetwork) -> dict[str, Any]:
    """What is known of it; floats to six significant digits, the nanoseconds of anything worth timing."""
    known = {field.name: getattr(value, field.name) for field in fields(value)}
    return {
        name: float(f"{each:.6g}") if isinstance(each, float) else each
        for name, each in known.items()
        if each is not None
    }
