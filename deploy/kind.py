"""What tells the files of one network apart."""

from __future__ import annotations

from dataclasses import dataclass

from profilers.precision import Precision


@dataclass(frozen=True, slots=True)
class Kind:
    """A file of the network: by one runtime, in one precision."""

    runtime: str  # litert, onnxruntime, coreml
    precision: Precision

    @property
    def name(self) -> str:
        """As in `litert-int8`."""
        return f"{self.runtime}-{self.precision}"
