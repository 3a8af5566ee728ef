"""A latency table of which most was never measured: entries inferred from tables of other devices.

To be known of a target are what every operation costs alone, what it adds to a network, and what a network costs beside
its operations. An operation measured alone is one of these numbers, a network measured whole a sum of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from latency_tables.features import features
from latency_tables.kinship import Items, Prior, expect
from latency_tables.table import Latency, LatencyTable
from latency_tables.transfer import Inference
from profilers.op_spec import OpSpec
from profilers.protocol import Statistic

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unmeasured:
    """A target known from others only: its costs are D = P alone, P in a network, and the base, of P operations."""

    ops: tuple[OpSpec, ...]
    prior: Prior

    @staticmethod
    def of(ops: Sequence[OpSpec], networks: Sequence[Sequence[OpSpec]], others: Sequence[LatencyTable]) -> Unmeasured:
        """`networks` are usual ones. Raises MissingOpError for an operation that another device's table lacks."""
        import numpy as np

        count = len(ops)
        places = {op: place for place, op in enumerate(ops)}
        usual = np.mean([_counts(places, network) for network in networks], axis=0)
        described = features(ops)
        context = np.repeat([-1.0, 1.0], count)[:, None]  # alone, in a network
        items = Items(
            amounts=_amounts(ops),
            features=np.vstack(
                [np.hstack([np.tile(described, (2, 1)), context]), np.full((1, described.shape[1] + 1), np.nan)]
            ),
            usual=np.array([*usual, *usual, 1.0]) / 2,
        )
        known_ms = np.array([_costs_ms(ops, table) for table in others]).T
        return Unmeasured(ops=tuple(ops), prior=expect(known_ms, [_family(table) for table in others], items))

    def alone(self, op: OpSpec) -> NDArray[float64]:
        """[D]: the operation, measured alone, as a sum of costs."""
        import numpy as np

        row = np.zeros(2 * len(self.ops) + 1)
        row[self.ops.index(op)] = 1.0
        return row

    def network(self, chain: Iterable[OpSpec]) -> NDArray[float64]:
        """[D]: a whole network as a sum of costs."""
        import numpy as np

        counts = _counts({op: place for place, op in enumerate(self.ops)}, chain)
        return np.array([*np.zeros(len(self.ops)), *counts, 1.0])

    def entries(self, inference: Inference, statistic: Statistic) -> dict[OpSpec, Latency]:
        """What every operation takes alone, as inferred."""
        import numpy as np

        found = zip(self.ops, inference.costs_ms, np.sqrt(inference.covariance.diagonal()), strict=False)
        return {
            op: Latency(
                **{f"{statistic}_ms": float(ms)},
                spread=float(spread),
                samples=0,
                verdict="steady",
                source="inferred",
            )
            for op, ms, spread in found
        }


def _counts(places: dict[OpSpec, int], chain: Iterable[OpSpec]) -> NDArray[float64]:
    """[P]: how often each operation stands in the chain; free ones are left out."""
    import numpy as np

    counts = np.zeros(len(places))
    for op in chain:
        if not op.free:
            counts[places[op]] += 1
    return counts


def _amounts(ops: Sequence[OpSpec]) -> NDArray[float64]:
    """[D, 3]: calls, MACs, elements moved. The base is a call."""
    import numpy as np

    each = np.array([(1.0, op.macs, op.cost.elements_moved) for op in ops])
    amounts = np.zeros((2 * len(ops) + 1, 3))
    amounts[:-1] = np.tile(each, (2, 1))
    amounts[-1, 0] = 1.0
    return amounts


def _costs_ms(ops: Sequence[OpSpec], table: LatencyTable) -> list[float]:
    return [*map(table.alone_ms, ops), *map(table.op_ms, ops), table.calibration.base_ms]


def _family(table: LatencyTable) -> str:
    """Targets that differ in threads or batch are one: either tells much about the other."""
    target, cpu = table.target, table.environment.facts.get("cpu", "")
    return f"{target.device} {cpu} {target.runtime} {target.accelerator} {target.precision}"
