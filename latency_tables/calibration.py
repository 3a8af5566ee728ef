"""From operations measured alone to networks: what a few whole networks teach about the sum.

A sum of isolated operations is biased: each was timed with a call of its own and with its own edges. Three numbers
put it right: what a call costs once per network, how fast kernels run inside a network, and what each operation adds
to that or, if negative, what of its time alone was overhead that a network does not repeat.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import ClassVar

# The part of the fastest operation's time that may turn out to be overhead; below one, so that every cost is positive.
OVERHEAD_SHARE = 0.95
# Inside a network no kernel is believed to run more than ten times as fast as alone.
LEAST_SCALE = 0.1
# How strongly the fit holds to a call that costs nothing and kernels that run as fast as alone: a scale that is off by
# one counts as much as a network predicted wrong by 1 %. It decides only what too few networks leave open.
ANCHOR = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """A whole network measured beside the operations: how many it has, the sum of their times alone, its own time."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    name: str
    ops: int
    sum_ms: float
    measured_ms: float
    spread: float

    def __post_init__(self) -> None:
        if not (0 < self.sum_ms < inf and 0 < self.measured_ms < inf):
            raise ValueError(f"sum_ms={self.sum_ms} and measured_ms={self.measured_ms} must be latencies above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A network costs `base_ms`, and each operation in it `scale` times its isolated time plus `per_op_ms`."""

    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    base_ms: float = 0.0
    scale: float = 1.0
    per_op_ms: float = 0.0
    networks: tuple[MeasuredNetwork, ...] = ()

    def __post_init__(self) -> None:
        if not (0 <= self.base_ms < inf and 0 <= self.scale < inf and -inf < self.per_op_ms < inf):
            raise ValueError("base_ms and scale must be numbers that are not negative, per_op_ms a number")

    def op_ms(self, isolated_ms: float) -> float:
        return self.scale * isolated_ms + self.per_op_ms

    def network_ms(self, network: MeasuredNetwork) -> float:
        return self.base_ms + self.scale * network.sum_ms + self.per_op_ms * network.ops


def calibrate(isolated_ms: Iterable[float], networks: Sequence[MeasuredNetwork]) -> Calibration:
    """Fit the three numbers to the networks' relative errors by bounded least squares; without any, the plain sum.

    Every operation of `isolated_ms`, and every slower one, keeps a cost above zero.
    """
    if not networks:
        return Calibration()
    import numpy as np
    from scipy.optimize import nnls

    overhead_ms = OVERHEAD_SHARE * min(isolated_ms)
    typical_ms = float(np.median([network.measured_ms for network in networks]))
    # base + scale * (sum - overhead * ops) + rest * ops = measured; with rest = per_op + scale * overhead no unknown is
    # negative. The last two rows are the anchors: base = 0, scale = 1.
    rows = [[1.0, network.sum_ms - overhead_ms * network.ops, network.ops] for network in networks]
    matrix = np.array([*rows, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    values = np.array([*(network.measured_ms for network in networks), 0.0, 1.0])
    weights = np.array([*(1 / network.measured_ms for network in networks), ANCHOR / typical_ms, ANCHOR])
    matrix, values = matrix * weights[:, None], values * weights
    (base, above, rest), _ = nnls(matrix, values - LEAST_SCALE * matrix[:, 1])
    scale = LEAST_SCALE + above
    return Calibration(
        base_ms=float(base),
        scale=float(scale),
        per_op_ms=float(rest - scale * overhead_ms),
        networks=tuple(networks),
    )


def describe_errors(isolated_ms: Sequence[float], networks: Sequence[MeasuredNetwork]) -> str:
    """Means of absolute errors: of each network predicted by a calibration on all the others, and of plain sums."""
    predicted_ms = []
    for i, network in enumerate(networks):
        others = [*networks[:i], *networks[i + 1 :]]
        predicted_ms.append(calibrate(isolated_ms, others).network_ms(network))
    fitted = _mean_error(predicted_ms, networks)
    plain = _mean_error([network.sum_ms for network in networks], networks)
    return f"{len(networks)} networks, each predicted from the others, off by {fitted:.1%} (plain sums by {plain:.1%})"


def _mean_error(predicted_ms: Sequence[float], networks: Sequence[MeasuredNetwork]) -> float:
    errors = [abs(ms / network.measured_ms - 1) for ms, network in zip(predicted_ms, networks, strict=True)]
    return sum(errors) / len(errors)
