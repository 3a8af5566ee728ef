"""A network that computes in half precision between float32 edges."""

from __future__ import annotations

from torch import Tensor, nn


class HalfInside(nn.Module):
    """Casts what comes in to half precision and what goes out to float32; the network is halved where it lies."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.half()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x.half()).float()  # type: ignore[no-any-return]
