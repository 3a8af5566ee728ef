"""A new device from a few measurements, of which each is a sum of costs: what everything costs, what to measure next.

The logarithm of a sum is not linear in those of its parts; it is made so about the likeliest costs (Rasmussen and
Williams 2006, 3.4: Laplace). Outliers are taken by a Student t (9.10).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

from latency_tables.design import greedy
from latency_tables.kinship import SPEED, Prior

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

# What is not known of the new device but weighed by the evidence: how much of it no known device accounts for; how far
# alikeness reaches among features; the standard deviation of a measurement, relative to it.
BELIEFS = tuple(product((0.5, 1.0, 2.0, 4.0), (0.5, 1.2), (0.01, 0.02, 0.04, 0.08, 0.16)))
USUAL_SPREAD, USUAL_NOISE = 0.2, 0.03  # of the speed and of a measurement, before there is any evidence
TAILS = 4.0  # degrees of freedom of that noise
_ROUNDS = 15  # at most, of making sums linear and weighing outliers
_LONGEST_STEP = 1.5  # of a logarithm in one round
_NEAR = 1e-4  # a round that moves none farther is the last


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inference:
    """Costs of a device: mean [D] and covariance [D, D] of their logarithms; relative noise of a measurement."""

    mean: NDArray[float64]
    covariance: NDArray[float64]
    noise: float

    @property
    def costs_ms(self) -> NDArray[float64]:
        """[D], the medians."""
        import numpy as np

        return np.asarray(np.exp(self.mean))

    def shares(self, rows: NDArray[float64]) -> NDArray[float64]:
        """[R, D]: what part of each sum, of rows [R, D] of each cost, every cost is."""
        return rows * self.costs_ms / (rows @ self.costs_ms)[:, None]

    def sums(self, rows: NDArray[float64]) -> tuple[NDArray[float64], NDArray[float64]]:
        """Of sums of rows [R, D] of each cost: ms, [R], and their standard deviations, relative to it."""
        import numpy as np

        shares = self.shares(rows)
        return rows @ self.costs_ms, np.sqrt(np.einsum("rd,rd->r", shares @ self.covariance, shares))


def infer(prior: Prior, rows: NDArray[float64], measured_ms: NDArray[float64]) -> Inference:
    """The costs of a device on which sums of rows [n, D] of each cost took measured_ms [n]; n is at least one.

    A mixture over BELIEFS, each weighed by the evidence, told by its mean and covariance.
    """
    import numpy as np

    found = [_Posterior.of(prior, rows, measured_ms, *belief) for belief in BELIEFS]
    logs = np.array([each.log_evidence for each in found])
    weights = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    mean = np.einsum("b,bd->d", weights, [each.mean for each in found])
    beside = np.array([each.mean - mean for each in found])
    return Inference(
        mean=mean,
        covariance=np.einsum("b,bde->de", weights, [each.covariance for each in found])
        + np.einsum("b,bd,be->de", weights, beside, beside),
        noise=float(weights @ np.square([noise for *_, noise in BELIEFS])) ** 0.5,
    )


def choose(now: Prior | Inference, candidates: NDArray[float64], targets: NDArray[float64], count: int) -> list[int]:
    """The candidates [M, D] whose measurement narrows the targets [T, D] most, relative to themselves."""
    if isinstance(now, Prior):
        now = Inference(mean=now.mean, covariance=now.covariance() + USUAL_SPREAD**2, noise=USUAL_NOISE)
    return greedy(now.shares(candidates), now.shares(targets), now.covariance, now.noise, count)


def explore(
    prior: Prior,
    candidates: NDArray[float64],
    targets: NDArray[float64],
    measure: Callable[[Sequence[int]], Mapping[int, float]],
    count: int,
    measured_ms: Mapping[int, float] | None = None,
) -> dict[int, float]:
    """Measure until there are `count`, those of before among them: ms by candidate, in the order chosen.

    Half of what is left at a time: what the first ones find decides on the others. What `measure` tells of earlier ones
    replaces what it told of them.
    """
    import numpy as np

    found = dict(measured_ms or {})
    while (missing := min(count, len(candidates)) - len(found)) > 0:
        now = infer(prior, candidates[list(found)], np.array([*found.values()])) if found else prior
        left = [each for each in range(len(candidates)) if each not in found]
        batch = [left[each] for each in choose(now, candidates[left], targets, (missing + 1) // 2)]
        found |= measure(batch)
    return found


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Posterior:
    """Of the logarithms of costs, under one belief: mean [D], covariance [D, D]; trust [n] in each measurement."""

    mean: NDArray[float64]
    covariance: NDArray[float64]
    trust: NDArray[float64]
    log_evidence: float

    @staticmethod
    def of(
        prior: Prior,
        rows: NDArray[float64],
        measured_ms: NDArray[float64],
        unlikeness: float,
        reach: float,
        noise: float,
    ) -> _Posterior:
        import numpy as np

        covariance, logs = prior.covariance(unlikeness, reach) + SPEED, np.log(measured_ms)
        mean = prior.mean + (logs - np.log(rows @ np.exp(prior.mean))).mean()
        found = _Posterior(mean=mean, covariance=covariance, trust=np.ones(len(rows)), log_evidence=0.0)
        for _ in range(_ROUNDS):
            before, found = found, found.nearer(mean, covariance, rows, logs, noise)
            if np.abs(found.mean - before.mean).max() < _NEAR:
                break
        return found

    def nearer(
        self,
        mean: NDArray[float64],
        covariance: NDArray[float64],
        rows: NDArray[float64],
        logs: NDArray[float64],
        noise: float,
    ) -> _Posterior:
        """The prior of that mean and covariance, given the evidence: sums are linear, and outliers weighed, as here."""
        import numpy as np
        from scipy.linalg import cho_factor, cho_solve

        sums = rows @ np.exp(self.mean)
        shares = rows * np.exp(self.mean) / sums[:, None]
        shared, variances = shares @ covariance, noise**2 / self.trust
        factor = cho_factor(shared @ shares.T + np.diag(variances), lower=True)
        off = logs - np.log(sums) + shares @ (self.mean - mean)
        pull = cho_solve(factor, off)
        left = variances - variances**2 * np.diag(cho_solve(factor, np.eye(len(rows))))
        trust = (TAILS + 1) / (TAILS + (np.square(variances * pull) + left) / noise**2)
        likely = -0.5 * off @ pull - np.log(np.diag(factor[0])).sum()
        return _Posterior(
            mean=self.mean + np.clip(mean + shared.T @ pull - self.mean, -_LONGEST_STEP, _LONGEST_STEP),
            covariance=covariance - shared.T @ cho_solve(factor, shared),
            trust=trust,
            log_evidence=float(likely + TAILS / 2 * (np.log(trust) - trust + 1).sum()),
        )
