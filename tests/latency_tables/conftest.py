"""A latency table of invented numbers."""

from __future__ import annotations

import pytest

from latency_tables.calibration import MeasuredNetwork
from latency_tables.table import Latency, LatencyTable
from profilers.environment import Environment
from profilers.op_spec import OpSpec
from profilers.protocol import PROTOCOLS
from profilers.target import Target

STEM = OpSpec.parse("conv in=8x8x3 out=8 kernel=3")
SMALL = OpSpec.parse("mbconv in=8x8x8 out=8")
LARGE = OpSpec.parse("mbconv in=8x8x8 out=8 kernel=5 expand=6")
HEAD = OpSpec.parse("classifier in=8x8x8 out=10")
MEDIANS_MS = {STEM: 0.5, SMALL: 0.25, LARGE: 1.5, HEAD: 0.125}
NETWORKS = {
    "network all": ((STEM, SMALL, LARGE, HEAD), 2.95),
    "network small": ((STEM, SMALL, SMALL, HEAD), 1.45),
    "network large": ((STEM, LARGE, LARGE, HEAD), 4.45),
}


@pytest.fixture
def table() -> LatencyTable:
    """Four operations, one of them noisy, and three networks, each 0.1 ms + 1.2 * its plain sum."""
    return LatencyTable(
        target=Target(runtime="litert", threads=2),
        environment=Environment({"cpu": "Imaginary 3000", "cores": "8", "runtime_version": "2.3.0"}),
        protocol=PROTOCOLS["quick"],
        entries={
            op: Latency(
                median_ms=median_ms,
                p90_ms=1.25 * median_ms,
                spread=0.01,
                samples=20,
                verdict="noisy" if op == STEM else "steady",
            )
            for op, median_ms in MEDIANS_MS.items()
        },
        networks=tuple(
            MeasuredNetwork(name=name, ops=ops, measured_ms=measured_ms, spread=0.01)
            for name, (ops, measured_ms) in NETWORKS.items()
        ),
    )
