"""What known devices let one expect of another: what everything costs there, and how far it may lie from that.

A device is a vector of costs, of operations and of what they add to a network; their logarithms are taken for jointly
normal. Known devices, and ideal ones that pay for one thing only (calls, MACs, elements moved), give the mean and the
directions in which devices differ. The rest is a Gaussian process over the items' features (Rasmussen and Williams
2006, 2.7), and how fast the device is as a whole is not known at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

# Variances of logarithms: along the differences between devices, which one more device moves as far as known ones; of
# what alike items share; of what is an item's own; of the speed of the device. Chosen by leaving out known devices, see
# tests/benchmarks/new_device.py.
DEVICES, ALIKE, OWN, SPEED = 1.0, 0.1, 0.005, 25.0
# What an ideal device pays for each of the other amounts, as a share of a usual network.
IMPURITY = 0.1
# Nothing is known to cost less than this share of what it costs on the mean of the ideal devices.
LEAST_SHARE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Items:
    """What is to be known of a device: D costs.

    amounts [D, A]: what each amounts to on any device, not negative; features [D, F], of mean 0 and standard deviation
    1: what lies close together costs alike, and a row of NaN is like nothing else; usual [D]: how much of each a usual
    network holds. What that one costs is the unit in which devices are compared: they differ by orders of magnitude.
    """

    amounts: NDArray[float64]
    features: NDArray[float64]
    usual: NDArray[float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prior:
    """Logarithms of costs before anything was measured: mean [D], differences [D, N] of devices, squared distances.

    distances [D, D] are those between the items' features, infinite where an item is like nothing else.
    """

    mean: NDArray[float64]
    differences: NDArray[float64]
    distances: NDArray[float64]

    def covariance(self, unlikeness: float = 1.0, reach: float = 1.0) -> NDArray[float64]:
        """[D, D], but for the speed. `unlikeness` stretches what no known device accounts for, `reach` alikeness."""
        import numpy as np

        rest = ALIKE * np.exp(-self.distances / (2 * reach**2)) + OWN * np.eye(len(self.mean))
        return np.asarray(DEVICES * self.differences @ self.differences.T + unlikeness**2 * rest)


def expect(known_ms: NDArray[float64], families: Sequence[str], items: Items) -> Prior:
    """What known devices, [D, N], let one expect of another one. Those of a family count as one device."""
    import numpy as np

    amounts = items.amounts / (items.usual @ items.amounts)
    count = amounts.shape[1]
    ideal = amounts @ ((1 - count * IMPURITY) * np.eye(count) + IMPURITY)
    known = np.maximum(known_ms / (items.usual @ known_ms), LEAST_SHARE * ideal.mean(axis=1, keepdims=True))
    logs = np.log(np.hstack([known, ideal]))
    _, family, members = np.unique([*families, *map(str, range(count))], return_inverse=True, return_counts=True)
    share = 1 / (len(members) * members[family])  # [N + A], summing to one
    mean = logs @ share
    return Prior(
        mean=mean,
        differences=(logs - mean[:, None]) * np.sqrt(share),
        distances=_distances(items.features),
    )


def _distances(features: NDArray[float64]) -> NDArray[float64]:
    """[D, D]: squared, per feature."""
    import numpy as np

    squared = np.square(features[:, None] - features[None]).sum(axis=2) / features.shape[1]
    squared = np.where(np.isnan(squared), np.inf, squared)
    np.fill_diagonal(squared, 0.0)
    return squared
