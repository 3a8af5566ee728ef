"""What will it cost? Latency tables, their files, and what whole networks teach about their sums."""

from __future__ import annotations

from latency_tables.calibration import Calibration, MeasuredNetwork, Prediction, calibrate
from latency_tables.errors import MissingOpError
from latency_tables.table import Latency, LatencyTable, build_table
from latency_tables.table_file import load_table, save_table

__all__ = [
    "Calibration",
    "Latency",
    "LatencyTable",
    "MeasuredNetwork",
    "MissingOpError",
    "Prediction",
    "build_table",
    "calibrate",
    "load_table",
    "save_table",
]
