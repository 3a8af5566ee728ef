"""The number formats a network is computed in."""

from __future__ import annotations

from typing import Literal

# fp16 holds weights in half precision, int8 is fully quantised: 8-bit weights, activations, inputs and outputs.
Precision = Literal["fp32", "fp16", "int8"]
