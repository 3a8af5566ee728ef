"""From operations measured alone to networks: what a few whole networks teach about the sum.

A sum of isolated operations is biased: each was timed with a call of its own and with its own edges. Three numbers,
none negative, put it right: what a call costs once per network, what is left of an operation's overhead inside a
network, and how fast its kernel runs there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# The part of the fastest operation's time that may turn out to be overhead; below one, so that every cost is positive.
OVERHEAD_SHARE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredNetwork:
    """A whole network measured beside the operations: how many it has, the sum of their times alone, its own time."""

    name: str
    ops: int
    sum_ms: float
    measured_ms: float
    spread: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A network costs `base_ms`, and each operation in it `scale` times its isolated time plus `per_op_ms`."""

    base_ms: float = 0.0
    scale: float = 1.0
    per_op_ms: float = 0.0
    networks: tuple[MeasuredNetwork, ...] = ()

    def op_ms(self, isolated_ms: float) -> float:
        return self.scale * isolated_ms + self.per_op_ms

    def network_ms(self, network: MeasuredNetwork) -> float:
        return self.base_ms + self.scale * network.sum_ms + self.per_op_ms * network.ops

    def describe(self) -> str:
        """How far plain sum and calibrated sum are from the networks that were measured, mean of absolute errors."""
        plain = [abs(network.sum_ms / network.measured_ms - 1) for network in self.networks]
        fitted = [abs(self.network_ms(network) / network.measured_ms - 1) for network in self.networks]
        count = len(self.networks)
        return f"{count} networks off by {sum(fitted) / count:.1%} (plain sums by {sum(plain) / count:.1%})"


def calibrate(isolated_ms: Iterable[float], networks: Sequence[MeasuredNetwork]) -> Calibration:
    """Fit the three numbers to relative errors by non-negative least squares; without networks, the plain sum."""
    if not networks:
        return Calibration()
    import numpy as np
    from scipy.optimize import nnls

    overhead = OVERHEAD_SHARE * min(isolated_ms)
    rows = np.array([[1.0, n.sum_ms - overhead * n.ops, n.ops] for n in networks])
    measured = np.array([n.measured_ms for n in networks])
    (base, scale, rest), _ = nnls(rows / measured[:, None], np.ones(len(networks)))
    return Calibration(
        base_ms=float(base),
        scale=float(scale),
        per_op_ms=float(rest - scale * overhead),
        networks=tuple(networks),
    )
