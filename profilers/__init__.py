"""What does it cost here? Operations, targets, runtimes, devices, and the protocol that times them."""

from __future__ import annotations

from profilers.artifact import Artifact
from profilers.compile_cache import CompileJob, compile_all
from profilers.environment import Environment
from profilers.errors import MillisError
from profilers.measurement import Measurement
from profilers.op_spec import OpSpec
from profilers.operation import OPERATIONS, Operation, operation
from profilers.protocol import PROTOCOLS, Protocol
from profilers.runtimes import RUNTIMES, Runtime, load_runtime
from profilers.shape import Shape
from profilers.sweep import sweep
from profilers.target import Target

__all__ = [
    "OPERATIONS",
    "PROTOCOLS",
    "RUNTIMES",
    "Artifact",
    "CompileJob",
    "Environment",
    "Measurement",
    "MillisError",
    "OpSpec",
    "Operation",
    "Protocol",
    "Runtime",
    "Shape",
    "Target",
    "compile_all",
    "load_runtime",
    "operation",
    "sweep",
]
