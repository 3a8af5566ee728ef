"""What operations cost one another: from some size of a network on, caches hold no more of them all.

Alone, an operation finds its weights where it left them a moment ago; in a small network too. In a large one every
operation drives others' weights from the caches. LiteRT on x86 shows it best: it has no kernel for 7x7 depthwise
convolutions and packs the 24 kB of one of 480 channels into 3 MB, in int8; four such layers of a network add 16 % more
to it than each of them does by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray
    from torch import Tensor

    Amount = TypeVar("Amount", float, NDArray[float64], Tensor)

# What may be the case: a network is crowded beyond one of these quantiles of the networks' plain sums, by a surcharge.
QUANTILES = tuple(place / 20 for place in range(1, 18))
SURCHARGES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowding:
    """From `capacity_ms` on every further millisecond of operations takes `surcharge` longer; by default nothing does.

    A convex, growing function of a sum: the order of networks is that of their sums, and so is the best of them.
    """

    capacity_ms: float = 0.0
    surcharge: float = 0.0

    def latency_ms(self, sum_ms: Amount) -> Amount:
        """The latency of a network whose operations add up to this."""
        return sum_ms + self.surcharge * _positive(sum_ms - self.capacity_ms)

    def sum_ms(self, latency_ms: Amount) -> Amount:
        """What the operations of a network with this latency add up to."""
        return latency_ms - self.surcharge / (1 + self.surcharge) * _positive(latency_ms - self.capacity_ms)

    def slopes(self, latencies_ms: NDArray[float64]) -> NDArray[float64]:
        """By how much latency grows with the sum, where it has got to these."""
        import numpy as np

        return np.where(latencies_ms > self.capacity_ms, 1 + self.surcharge, 1.0)


UNCROWDED = Crowding()


def crowdings(plain_ms: NDArray[float64]) -> tuple[Crowding, ...]:
    """What networks of these plain sums could show, and first of all that there is none."""
    import numpy as np

    capacities = map(float, np.quantile(plain_ms, QUANTILES)) if len(plain_ms) else ()
    return UNCROWDED, *(Crowding(capacity_ms=ms, surcharge=more) for ms, more in product(capacities, SURCHARGES))


def _positive(ms: Amount) -> Amount:
    return (ms + abs(ms)) / 2
