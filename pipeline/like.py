"""A new device from a few measurements and the tables of others: what to measure, measuring it, inferring the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from latency_tables.calibration import quantile
from latency_tables.inferring import Unmeasured
from latency_tables.table import Latency, LatencyTable, build_table
from latency_tables.table_file import save_table
from latency_tables.transfer import Inference, choose, explore, infer
from pipeline.profiling import Workload, compile_job, journal_of, known_table, network_name, random_networks
from pipeline.side_by_side import side_by_side
from pipeline.space import SearchSpace
from pipeline.watcher import Watcher
from profilers.compile_cache import compile_all
from profilers.devices import require_device
from profilers.graph import Graph
from profilers.measurement import Measurement
from profilers.op_spec import OpSpec
from profilers.protocol import Protocol
from profilers.sweep import SENTINEL, sweep
from profilers.target import Target

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

LEANS = (0.0, 0.2, 0.5, 0.8, 1.0)  # of the networks that may be measured: small ones, random ones, large ones
WIDE = 0.05  # half of a 90 % interval, relative to its middle, from which on the next measurements are named
NAMED = 3


def profile_like(
    others: Sequence[LatencyTable],
    space: SearchSpace,
    tables: Mapping[Target, Path],
    protocol: Protocol,
    *,
    measurements: int,
    watch: Watcher,
    cache: Path | None = None,
) -> dict[Target, LatencyTable]:
    """Of each target measure what tells most, infer the rest from other devices' tables, write its table.

    What a table that exists already holds counts among the measurements. A call after a kill goes on. Raises
    MissingOpError for an operation of the space that one of the others lacks, EnvironmentMismatchError where a table
    that exists is of another target or protocol.
    """
    for target in tables:
        require_device(target)
    known = {target: known_table(target, path, protocol) for target, path in tables.items()}
    usual = [network.ops() for network in random_networks(space)]
    unmeasured = Unmeasured.of(space.op_specs(), usual, others)

    def make(target: Target, watch: Watcher) -> LatencyTable:
        bench = _Bench(target=target, protocol=protocol, path=tables[target], space=space, watch=watch, cache=cache)
        return _inferred(_Choice.of(unmeasured, space, known[target]), bench, known[target], measurements)

    return side_by_side(tuple(tables), make, watch)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Choice:
    """What may be measured, by the name it is measured under; each also as a sum of costs, a row of [M, D].

    `chains` are the operations of each, those of the networks that the table holds among them; `graphs` are the others.
    `usual`, [T, D], are the networks whose predictions are to be narrow.
    """

    unmeasured: Unmeasured
    chains: Mapping[str, tuple[OpSpec, ...]]
    graphs: Mapping[str, Graph]
    rows: NDArray[float64]
    usual: NDArray[float64]

    @staticmethod
    def of(unmeasured: Unmeasured, space: SearchSpace, known: LatencyTable | None) -> _Choice:
        """Every operation alone; small, random and large networks; and those of the space that the table holds."""
        import numpy as np

        alone = {str(op): (op,) for op in unmeasured.ops}
        told = known.networks if known is not None else ()
        networks = {network.name: network.ops for network in told if set(unmeasured.ops).issuperset(network.ops)}
        drawn = {network_name(each): each.graph() for lean in LEANS for each in random_networks(space, lean)}
        networks |= {name: graph.ops() for name, graph in drawn.items()}
        return _Choice(
            unmeasured=unmeasured,
            chains=alone | networks,
            graphs={name: Graph.chain(ops) for name, ops in alone.items()} | drawn,
            rows=np.array([*map(unmeasured.alone, unmeasured.ops), *map(unmeasured.network, networks.values())]),
            usual=np.array([unmeasured.network(network.ops()) for network in random_networks(space)]),
        )

    def measured_ms(self, table: LatencyTable | None) -> dict[int, float]:
        """What the table tells of it that was measured, by place."""
        if table is None:
            return {}
        told = {str(op): table.alone_ms(op) for op in table.entries if op not in table.inferred}
        told |= {network.name: network.measured_ms for network in table.networks}
        return {place: told[name] for place, name in enumerate(self.chains) if name in told}

    def infer(self, measured_ms: Mapping[int, float]) -> Inference:
        import numpy as np

        return infer(self.unmeasured.prior, self.rows[list(measured_ms)], np.array([*measured_ms.values()]))

    def next_names(self, inference: Inference, measured_ms: Mapping[int, float], count: int) -> list[str]:
        """What would tell most of what was not measured."""
        names = list(self.chains)
        left = [place for place in range(len(names)) if place not in measured_ms]
        return [names[left[each]] for each in choose(inference, self.rows[left], self.usual, count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    """Where one target's measurements are taken, and all that were."""

    target: Target
    protocol: Protocol
    path: Path
    space: SearchSpace
    watch: Watcher
    cache: Path | None
    measured: dict[str, Measurement] = field(default_factory=dict)

    def measure(self, graphs: dict[str, Graph]) -> None:
        """Add these; what was measured before is read anew: by now the device's own speed is known better."""
        target, sentinel = self.target, Graph.chain((Workload.of(self.space, networks=0).sentinel,))
        jobs = {
            name: compile_job(graph, target.runtime, batch=target.batch, precision=target.precision)
            for name, graph in (graphs | {SENTINEL: sentinel}).items()
        }
        work = compile_all(jobs, cache=self.cache, on_progress=partial(self.watch.progress, f"compile for {target}"))
        on_progress = partial(self.watch.progress, str(target))
        journal = journal_of(self.path)
        self.measured.update(
            sweep(work, target, self.protocol, journal, on_progress=on_progress, notify=self.watch.note)
        )


def _inferred(choice: _Choice, bench: _Bench, known: LatencyTable | None, measurements: int) -> LatencyTable:
    """The target's table: what was measured as it was measured, everything else inferred."""
    names = list(choice.chains)

    def measure(batch: Sequence[int]) -> dict[int, float]:
        wanted = [*bench.measured, *(names[place] for place in batch)]
        bench.measure({name: choice.graphs[name] for name in wanted})
        statistic = bench.protocol.statistic
        return {names.index(name): Latency.of(each).ms(statistic) for name, each in bench.measured.items()}

    prior, before = choice.unmeasured.prior, choice.measured_ms(known)
    measured_ms = explore(prior, choice.rows, choice.usual, measure, measurements, before)
    inference = choice.infer(measured_ms)
    table = _table(choice, bench, known, choice.unmeasured.entries(inference, bench.protocol.statistic))
    save_table(table, bench.path)
    _tell_width(choice, bench, inference, measured_ms)
    return table


def _table(
    choice: _Choice, bench: _Bench, known: LatencyTable | None, inferred: Mapping[OpSpec, Latency]
) -> LatencyTable:
    """Inferred entries, over them what an earlier table measured, over them what was measured now."""
    environment = known.environment if known is not None else next(iter(bench.measured.values())).environment
    kept = {} if known is None else {op: each for op, each in known.entries.items() if op not in known.inferred}
    base = LatencyTable(
        target=bench.target,
        environment=environment,
        protocol=bench.protocol,
        entries={**inferred, **kept},
        networks=known.networks if known is not None else (),
        drift=known.drift if known is not None else 0.0,
    )
    alone = {op: bench.measured[str(op)] for op in choice.unmeasured.ops if str(op) in bench.measured}
    networks = [
        (name, choice.chains[name], measurement)
        for name, measurement in bench.measured.items()
        if len(choice.chains[name]) > 1
    ]
    return build_table(
        bench.target, bench.protocol, alone, networks, space=bench.space.name, base=base, path=bench.path
    )


def _tell_width(choice: _Choice, bench: _Bench, inference: Inference, measured_ms: Mapping[int, float]) -> None:
    """One line where an interval is wide: how wide, and what would narrow it most."""
    _, spread = inference.sums(choice.usual)
    widest = quantile(0.95) * float(spread.max())
    if widest > WIDE:
        more = choice.next_names(inference, measured_ms, NAMED)
        bench.watch.note(
            f"{bench.path}: networks are told to ±{widest:.0%} or better, at 90 %; to narrow that, "
            f"--measurements {len(measured_ms) + len(more)} would add: {'; '.join(more)}"
        )
