"""Computing in bf16, where the processor has it: convolutions of large images are up to half faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

# What forward and backward passes compute in; weights, statistics and steps are fp32 in either.
Compute = Literal["fp32", "bf16"]


def computed(network: Callable[..., Tensor], compute: Compute, *inputs: object) -> Tensor:
    """Its logits for the inputs, as fp32."""
    import torch

    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=compute == "bf16"):
        logits = network(*inputs)
    return logits.float()
