"""From operations measured alone to networks: what a few whole networks teach about every operation.

A sum of isolated operations is biased: each was timed with a call of its own, with its own edges and its weights in the
cache. Here a network costs a base and, for each operation, what the operation adds to a network. What an operation
costs alone is the prior of what it adds; whole networks are the evidence. Everything is linear and Gaussian, so the
posterior is too: a mean and an interval for every operation and every sum of them (Rasmussen and Williams 2006, 2.1).
Where the networks show that a sum crowds the caches, latency is a growing function of it, else the sum itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from typing import TYPE_CHECKING

from latency_tables.crowding import UNCROWDED, Crowding, crowdings
from latency_tables.features import likeness
from profilers.op_spec import OpSpec

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

# How far an operation's cost in a network is believed to lie from its cost alone, before any network was measured;
# standard deviations, relative to its cost alone.
SCALE = 0.3  # a factor that all operations share
# The rest is not known but weighed by the evidence: (what operations like it share, its own, the noise of a network).
BELIEFS = tuple(product((0.02, 0.05, 0.1, 0.2), (0.01, 0.03, 0.08), (0.004, 0.008, 0.015, 0.03, 0.06)))
# What an operation costs alone and not in a network, or the other way round, because of its call: standard deviation
# over the time of the fastest operation. A network's own call may cost as much as that operation.
CALL = 0.5
# Operations are alike within half a standard deviation of their features.
REACH = 0.5
# No operation is believed to add less to a network than this share of its time alone.
LEAST_SHARE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """A whole network, measured beside the operations."""

    name: str
    ops: tuple[OpSpec, ...]  # without those that are free
    measured_ms: float
    spread: float

    def __post_init__(self) -> None:
        if not (0 < self.measured_ms < inf and 0 <= self.spread < inf):
            told = f"measured_ms={self.measured_ms} must be above zero, spread={self.spread} not negative"
            raise ValueError(f"{self.name}: {told}")
        if not self.ops or any(op.free for op in self.ops):
            raise ValueError(f"{self.name}: ops must be operations that are not free, one at least")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a network's operations add up to, normal; its latency is what crowding makes of that."""

    sum_ms: float
    sd_ms: float  # of one measurement of the network, as a sum
    crowding: Crowding = UNCROWDED

    @property
    def ms(self) -> float:
        """Latency, the median of what is believed."""
        return self.crowding.latency_ms(self.sum_ms)

    def interval_ms(self, confidence: float = 0.9) -> tuple[float, float]:
        """What a measurement lies within at that confidence."""
        return max(0.0, self.at_most_ms((1 - confidence) / 2)), self.at_most_ms((1 + confidence) / 2)

    def at_most_ms(self, confidence: float) -> float:
        """What a measurement does not exceed at that confidence."""
        return self.crowding.latency_ms(self.sum_ms + quantile(confidence) * self.sd_ms)


def quantile(confidence: float) -> float:
    """Of the normal distribution; raises ValueError outside of 0 to 1."""
    from statistics import NormalDist

    if not 0 < confidence < 1:
        raise ValueError(f"a confidence of {confidence} does not lie between 0 and 1")
    return NormalDist().inv_cdf(confidence)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """What each operation adds to a network, jointly normal.

    mean_ms [1 + D] and covariance [1 + D, 1 + D], ms², of the base and of each operation in `ops`, where there is room
    for it; noise is the standard deviation of a measured network, relative to it.
    """

    ops: Mapping[OpSpec, int]  # operation -> its place, from 1
    mean_ms: NDArray[float64]
    covariance: NDArray[float64]
    noise: float
    crowding: Crowding = UNCROWDED
    left_out_ms: tuple[float, ...] = ()  # each network's latency, as the others predict it

    @property
    def base_ms(self) -> float:
        """What a network costs beyond its operations."""
        return float(self.mean_ms[0])

    def op_ms(self, op: OpSpec) -> float:
        return float(self.mean_ms[self.ops[op]])

    def predict(self, ops: Sequence[OpSpec]) -> Prediction:
        """Of a network of these operations, of which none is free."""
        counts = count_ops(self.ops, ops)
        sum_ms = float(counts @ self.mean_ms)
        sd_ms = float(counts @ self.covariance @ counts + (self.noise * sum_ms) ** 2) ** 0.5
        return Prediction(sum_ms=sum_ms, sd_ms=sd_ms, crowding=self.crowding)


def calibrate(
    alone_ms: Mapping[OpSpec, float], networks: Sequence[MeasuredNetwork], doubt: Mapping[OpSpec, float] | None = None
) -> Calibration:
    """The posterior, given the networks, of what the operations add to one; `alone_ms` tells what each costs alone.

    Without networks the mean is the plain sum. How strongly to believe in what is not fixed is itself weighed by the
    evidence: the posterior is a mixture over BELIEFS, told by its mean and covariance, with the likeliest crowding.
    `doubt` is the relative standard deviation of costs alone that were not measured.
    """
    import numpy as np
    from scipy.special import softmax

    ops = {op: place for place, op in enumerate(alone_ms, 1)}
    evidence = _Evidence.of(ops, alone_ms, networks, doubt or {})
    posteriors = [evidence.posterior(*belief) for belief in BELIEFS]
    log_evidence = np.array([each.log_evidence for each in posteriors])
    crowding = _likeliest(log_evidence)
    weights = softmax(log_evidence[:, crowding])
    found_ms = np.array([each.excess_ms[:, crowding] for each in posteriors])
    excess_ms = weights @ found_ms
    beside = found_ms - excess_ms
    covariance = np.einsum("b,bde->de", weights, [each.covariance for each in posteriors])
    without = np.array([each.log_evidence_without for each in posteriors])
    left_out = np.array([each.left_out for each in posteriors])
    return Calibration(
        ops=ops,
        mean_ms=np.maximum(evidence.alone_ms + excess_ms, LEAST_SHARE * evidence.alone_ms),
        covariance=covariance + np.einsum("b,bd,be->de", weights, beside, beside),
        noise=float(weights @ np.square([noise for _, _, noise in BELIEFS])) ** 0.5,
        crowding=evidence.crowdings[crowding],
        left_out_ms=tuple(
            evidence.left_out_ms(place, without[:, place], left_out[:, place]) for place in range(len(networks))
        ),
    )


def _likeliest(log_evidence: NDArray[float64]) -> int:
    """Of crowdings, by the evidence [B, C]; the first is beforehand as likely as all the others together."""
    import numpy as np
    from scipy.special import logsumexp

    told = logsumexp(log_evidence, axis=0)
    told[0] += np.log(max(1, len(told) - 1))
    return int(np.argmax(told))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posterior:
    """Under one belief, for each crowding: of what base and operations add to a network beyond their costs alone."""

    excess_ms: NDArray[float64]  # [1 + D, C], mean
    covariance: NDArray[float64]  # [1 + D, 1 + D], ms²
    left_out: NDArray[float64]  # [N, C], each network over its plain sum, as the others predict it
    log_evidence: NDArray[float64]  # [C]
    log_evidence_without: NDArray[float64]  # [N, C], of all networks but each


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    """Networks as rows [N, 1 + D] of what stands in them, over their plain sums, and what that says of crowding."""

    shares: NDArray[float64]
    plain_ms: NDArray[float64]  # [N]
    crowdings: tuple[Crowding, ...]  # [C]
    excess: NDArray[float64]  # [N, C], what each network's sum then is beyond the plain one, over it
    log_density: NDArray[float64]  # [N, C], of latencies over that of sums
    alone_ms: NDArray[float64]  # [1 + D], of the base 0
    likeness: NDArray[float64]  # [1 + D, 1 + D]
    doubt: NDArray[float64]  # [1 + D]

    @staticmethod
    def of(
        ops: Mapping[OpSpec, int],
        alone_ms: Mapping[OpSpec, float],
        networks: Sequence[MeasuredNetwork],
        doubt: Mapping[OpSpec, float],
    ) -> _Evidence:
        import numpy as np

        alone = np.array([0.0, *alone_ms.values()])
        counts = np.array([count_ops(ops, network.ops) for network in networks]).reshape(len(networks), len(alone))
        plain_ms = counts @ alone
        measured_ms = np.array([network.measured_ms for network in networks])
        possible = crowdings(plain_ms)
        alike = np.eye(len(alone))
        alike[1:, 1:] = likeness(tuple(ops), REACH)
        return _Evidence(
            shares=counts / plain_ms[:, None],
            plain_ms=plain_ms,
            crowdings=possible,
            excess=np.array([each.sum_ms(measured_ms) / plain_ms - 1 for each in possible]).T,
            log_density=-np.log([each.slopes(measured_ms) for each in possible]).T,
            alone_ms=alone,
            likeness=alike,
            doubt=np.array([0.0, *(doubt.get(op, 0.0) for op in ops)]),
        )

    def left_out_ms(self, place: int, log_evidence: NDArray[float64], left_out: NDArray[float64]) -> float:
        """A network's latency as the others predict it: under each belief and crowding [B, C], by their evidence."""
        from scipy.special import softmax

        crowding = _likeliest(log_evidence)
        share = softmax(log_evidence[:, crowding]) @ left_out[:, crowding]
        return self.crowdings[crowding].latency_ms(float(share * self.plain_ms[place]))

    def posterior(self, shared: float, own: float, noise: float) -> _Posterior:
        import numpy as np
        from scipy.linalg import cho_solve, solve_triangular
        from scipy.stats import norm
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import DotProduct

        root = np.linalg.cholesky(self.prior(shared, own))
        if not len(self.excess):
            return _Posterior(
                excess_ms=np.zeros((len(root), 1)),
                covariance=root @ root.T,
                left_out=self.excess,
                log_evidence=np.zeros(1),
                log_evidence_without=self.excess,
            )
        # In units of the prior every unknown is a standard normal: a Gaussian process with the inner product as kernel.
        process = GaussianProcessRegressor(DotProduct(0.0, "fixed"), alpha=noise**2, optimizer=None)
        _, covariance = process.fit(self.shares @ root, self.excess[:, 0]).predict(root, return_cov=True)
        process.fit(self.shares @ root, self.excess)
        precision = np.diag(cho_solve((process.L_, True), np.eye(len(self.excess))))[:, None]
        off = process.alpha_ / precision  # each network from what the others predict, normal with that precision
        white = norm.logpdf(solve_triangular(process.L_, self.excess, lower=True))
        log_evidence = (white + self.log_density).sum(0) - np.log(np.diag(process.L_)).sum()
        return _Posterior(
            excess_ms=process.predict(root),
            covariance=covariance,
            left_out=1 + self.excess - off,
            log_evidence=log_evidence,
            log_evidence_without=log_evidence - norm.logpdf(off, scale=precision**-0.5) - self.log_density,
        )

    def prior(self, shared: float, own: float) -> NDArray[float64]:
        """[1 + D, 1 + D], ms²: covariance of what base and operations add beyond their costs alone."""
        import numpy as np

        relative = SCALE**2 + shared**2 * self.likeness + np.diag(own**2 + self.doubt**2)
        call_ms = CALL * self.alone_ms[1:].min()
        per_op = np.pad(np.full((len(self.alone_ms) - 1,) * 2, call_ms**2), (1, 0))
        per_op[0, 0] = (2 * call_ms) ** 2
        return np.asarray(np.outer(self.alone_ms, self.alone_ms) * relative + per_op)


def count_ops(ops: Mapping[OpSpec, int], chain: Sequence[OpSpec]) -> NDArray[float64]:
    """[1 + D]: the base once, and how often each operation stands in the chain."""
    import numpy as np

    counts = np.zeros(1 + len(ops))
    counts[0] = 1.0
    for op in chain:
        counts[ops[op]] += 1
    return counts
