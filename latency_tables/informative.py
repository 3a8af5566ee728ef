"""Which whole networks to measure next: those that narrow the predictions of all the others most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from latency_tables.calibration import Calibration, count_ops, quantile
from latency_tables.design import greedy
from profilers.op_spec import OpSpec

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

Chain = Sequence[OpSpec]


def most_informative(
    calibration: Calibration, candidates: Sequence[Chain], others: Sequence[Chain], count: int
) -> list[int]:
    """The places of `count` candidates, each the one that takes most variance from the predictions of the others.

    Variances are relative to each network's latency.
    """
    sums, aims = _shares(calibration, candidates), _shares(calibration, others)
    return greedy(sums, aims, calibration.covariance, calibration.noise, count)


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


def _shares(calibration: Calibration, chains: Sequence[Chain]) -> NDArray[float64]:
    """[N, 1 + D]: what stands in each network, over its latency."""
    import numpy as np

    rows = [count_ops(calibration.ops, [op for op in chain if not op.free]) for chain in chains]
    counts = np.array(rows).reshape(len(chains), len(calibration.mean_ms))
    return np.asarray(counts / (counts @ calibration.mean_ms)[:, None])
