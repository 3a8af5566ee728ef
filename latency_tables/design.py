"""Sequential design: which sums of unknowns to measure next, where all is linear and Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


def greedy(
    sums: NDArray[float64], aims: NDArray[float64], covariance: NDArray[float64], noise: float, count: int
) -> list[int]:
    """The places of `count` sums [M, D], each the one that takes most variance from the aims [T, D] after those before.

    Of unknowns with covariance [D, D], measured with noise of that standard deviation. All can be chosen at once: what
    a measurement leaves uncertain does not depend on what it finds (Krause et al. 2008). Fewer where there are no more.
    """
    import numpy as np

    aim, chosen = aims.T @ aims / max(1, len(aims)), list[int]()
    for _ in range(min(count, len(sums))):
        shared = sums @ covariance
        variances = np.einsum("md,md->m", shared, sums) + noise**2
        gains = np.einsum("md,md->m", shared @ aim, shared) / variances
        gains[chosen] = -1.0
        best = int(gains.argmax())
        chosen.append(best)
        covariance = covariance - np.outer(shared[best], shared[best]) / variances[best]
    return chosen
