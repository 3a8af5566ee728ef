"""Which whole networks to measure next: those that narrow the predictions of all the others most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from latency_tables.calibration import Calibration, count_ops, quantile
from profilers.op_spec import OpSpec

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

Chain = Sequence[OpSpec]


def most_informative(
    calibration: Calibration, candidates: Sequence[Chain], others: Sequence[Chain], count: int
) -> list[int]:
    """The places of `count` candidates, each the one that takes most variance from the predictions of the others.

    Chosen one after another: what a measurement teaches does not depend on its outcome, for all is Gaussian
    (Krause et al. 2008, sequential design). Variances are relative to each network's latency.
    """
    import numpy as np

    shares = _shares(calibration, [*candidates, *others])
    covariance = shares @ calibration.covariance @ shares.T
    size = len(candidates)
    chosen: list[int] = []
    for _ in range(min(count, size)):
        gain = np.square(covariance[size:, :size]).sum(axis=0) / _measured_variance(covariance, calibration)[:size]
        gain[chosen] = -1.0
        best = int(gain.argmax())
        chosen.append(best)
        taken = np.outer(covariance[:, best], covariance[best]) / _measured_variance(covariance, calibration)[best]
        covariance = covariance - taken
    return chosen


def typical_half_width(calibration: Calibration, chains: Sequence[Chain], confidence: float = 0.9) -> float:
    """Of the interval of a prediction, relative to it: the mean over networks."""
    import numpy as np

    variance = _variance(calibration, chains) + calibration.noise**2
    return quantile((1 + confidence) / 2) * float(np.sqrt(variance).mean())


def typical_doubt(calibration: Calibration, chains: Sequence[Chain]) -> float:
    """The part of a prediction's relative standard deviation that more networks would take away: the mean."""
    import numpy as np

    return float(np.sqrt(_variance(calibration, chains)).mean())


def _variance(calibration: Calibration, chains: Sequence[Chain]) -> NDArray[float64]:
    import numpy as np

    shares = _shares(calibration, chains)
    return np.asarray(np.einsum("nd,de,ne->n", shares, calibration.covariance, shares))


def _measured_variance(covariance: NDArray[float64], calibration: Calibration) -> NDArray[float64]:
    """Of one measurement of each network, its noise included."""
    return covariance.diagonal() + calibration.noise**2


def _shares(calibration: Calibration, chains: Sequence[Chain]) -> NDArray[float64]:
    """[N, 1 + D]: what stands in each network, over its latency."""
    import numpy as np

    counts = np.array([count_ops(calibration.ops, [op for op in chain if not op.free]) for chain in chains])
    return np.asarray(counts / (counts @ calibration.mean_ms)[:, None])
