"""A latency table of invented numbers."""

from __future__ import annotations

import pytest

from latency_tables.calibration import Calibration, MeasuredNetwork
from latency_tables.table import Latency, LatencyTable
from profilers.environment import Environment
from profilers.op_spec import OpSpec
from profilers.protocol import PROTOCOLS
from profilers.target import Target

MEDIANS_MS = {
    "conv in=8x8x3 out=8 kernel=3": 0.5,
    "mbconv in=8x8x8 out=8": 0.25,
    "mbconv in=8x8x8 out=8 kernel=5 expand=6": 1.5,
    "classifier in=8x8x8 out=10": 0.125,
}


@pytest.fixture
def table() -> LatencyTable:
    """Four operations, one of them noisy, calibrated on one network: 0.1 ms + sum of (2 * median - 0.2 ms)."""
    network = MeasuredNetwork(name="network all", ops=4, sum_ms=2.375, measured_ms=4.05, spread=0.01)
    return LatencyTable(
        target=Target(runtime="litert", threads=2),
        environment=Environment({"cpu": "Imaginary 3000", "cores": "8", "runtime_version": "2.3.0"}),
        protocol=PROTOCOLS["quick"],
        entries={
            OpSpec.parse(text): Latency(
                median_ms=median_ms,
                p90_ms=1.25 * median_ms,
                spread=0.01,
                samples=20,
                verdict="noisy" if "conv in=8x8x3" in text else "steady",
            )
            for text, median_ms in MEDIANS_MS.items()
        },
        calibration=Calibration(base_ms=0.1, scale=2.0, per_op_ms=-0.2, networks=(network,)),
    )
