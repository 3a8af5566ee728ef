"""Does a table tell the truth? Fresh random networks, predicted by it, then measured on its target.

How far the machine agrees with itself stands beside it: every network is measured in two sweeps, and some of those that
the table was calibrated with are measured again.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean
from typing import TYPE_CHECKING

from latency_tables.accuracy import Accuracy, accuracy
from latency_tables.calibration import MeasuredNetwork, Prediction
from latency_tables.table import Latency, LatencyTable
from pipeline.architecture import Architecture
from pipeline.profiling import compile_job, network_name, network_named
from pipeline.space import SearchSpace, SpaceError
from pipeline.spaces import parse_space
from pipeline.watcher import Watcher
from profilers.compile_cache import compile_all
from profilers.devices import Notify, Session, open_session, require_device
from profilers.errors import EnvironmentMismatchError, TargetError
from profilers.graph import Graph
from profilers.measurement import Measurement, Verdict
from profilers.op_spec import OpSpec
from profilers.protocol import IMPORTED, Protocol
from profilers.sweep import sweep
from profilers.target import Target

if TYPE_CHECKING:
    from profilers.artifact import Artifact

# Converted at a time: the weights of a hundred large networks would fill the memory.
_AT_ONCE = 16
# Of the table's own networks, so many are measured again.
_KNOWN = 8
# Draws in a row that bring no new network: then the space has hardly another.
_PATIENCE = 10_000

Chain = tuple[OpSpec, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedNetwork:
    """A network that the table had not seen: what it said, and what two sweeps, one after the other, measured."""

    architecture: Architecture
    prediction: Prediction
    plain_ms: float
    measured_ms: float
    again_ms: float
    spread: float
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCheck:
    """What a table said of fresh networks, and what was measured of them."""

    table: LatencyTable
    space: str
    seed: int
    protocol: Protocol
    networks: tuple[CheckedNetwork, ...]
    known_ms: tuple[tuple[float, float], ...]  # networks of the table: when it was made, and now

    @property
    def predicted(self) -> Accuracy:
        """The table's predictions against the first sweep."""
        return self._accuracy(1.0)

    @property
    def at_one_speed(self) -> Accuracy:
        """The same, had the device been as fast in the first sweep as it was for the table, by the networks of both."""
        return self._accuracy(self.slower)

    @property
    def slower(self) -> float:
        """How many times as long as for the table its own networks took in the first sweep; 1 where it has none."""
        return geometric_mean([now / then for then, now in self.known_ms]) if self.known_ms else 1.0

    def _accuracy(self, slower: float) -> Accuracy:
        intervals = [each.prediction.interval_ms(0.9) for each in self.networks]
        return accuracy(
            [slower * each.prediction.ms for each in self.networks],
            self.measured_ms,
            [(slower * low, slower * high) for low, high in intervals],
        )

    @property
    def plain(self) -> Accuracy:
        """Plain sums of what the operations cost alone against the first sweep."""
        return accuracy([each.plain_ms for each in self.networks], self.measured_ms)

    @property
    def repeated(self) -> Accuracy:
        """The second sweep against the first: how well the machine agrees with itself over minutes."""
        return accuracy([each.again_ms for each in self.networks], self.measured_ms)

    @property
    def since(self) -> Accuracy | None:
        """The table's own networks, as measured for it, against now: how far the machine has moved since."""
        return accuracy(*zip(*self.known_ms, strict=True)) if self.known_ms else None

    @property
    def measured_ms(self) -> list[float]:
        return [each.measured_ms for each in self.networks]


def space_of(table: LatencyTable, asked: str | None) -> SearchSpace:
    """Where to draw networks from: the space asked for, or the table's own.

    Raises TargetError for a table that others measured, SpaceError where it does not tell of which space it is.
    """
    if table.protocol.name == IMPORTED:
        raise TargetError(f"{table.path}: others measured this table; only one that millis measured can be checked")
    text = asked or table.space
    if not text:
        raise SpaceError(f"{table.path}: the table does not tell of which search space it is; say it with --space")
    return parse_space(text)


def check_table(
    table: LatencyTable,
    space: SearchSpace,
    protocol: Protocol,
    *,
    count: int,
    seed: int,
    journals: tuple[Path, Path],
    watch: Watcher,
    cache: Path | None = None,
) -> TableCheck:
    """Measure `count` networks that the table has not seen in two sweeps. A call after a kill goes on.

    Raises, before anything is compiled, MissingOpError where the table lacks an operation of one of them, TargetError
    where nothing here measures its target; EnvironmentMismatchError where the device is not what it was for the table.
    """
    require_device(table.target)
    networks = fresh_networks(space, count, seed, known=(network.ops for network in table.networks))
    predictions = [table.predict(network.ops()) for network in networks]
    fresh = {network_name(network): network.graph() for network in networks}
    known = {f"known {each.name}": each for each in _spread(rebuilt(table.networks, space), _KNOWN)}
    artifacts = _compiled(fresh | {name: each.graph for name, each in known.items()}, table.target, watch, cache)
    first = _measured(table, protocol, artifacts, journals[0], watch, str(table.target))
    again = _measured(
        table, protocol, {name: artifacts[name] for name in fresh}, journals[1], watch, f"{table.target} again"
    )
    checked = tuple(
        CheckedNetwork(
            architecture=network,
            prediction=prediction,
            plain_ms=table.plain_ms(network.ops()),
            measured_ms=_ms(table, first[name]),
            again_ms=_ms(table, again[name]),
            spread=first[name].spread,
            verdict=first[name].verdict,
        )
        for name, network, prediction in zip(fresh, networks, predictions, strict=True)
    )
    known_ms = tuple((each.measured_ms, _ms(table, first[name])) for name, each in known.items())
    return TableCheck(table=table, space=space.name, seed=seed, protocol=protocol, networks=checked, known_ms=known_ms)


def check_journals(table: LatencyTable, path: Path, protocol: Protocol, seed: int) -> tuple[Path, Path]:
    """Where the raw measurements of both sweeps of a check lie: beside the table."""
    other = "" if protocol == table.protocol else f"-{protocol.name}"
    stem = f"{path.stem}.check-seed-{seed}{other}"
    return path.with_name(f"{stem}.measurements.jsonl"), path.with_name(f"{stem}.again.measurements.jsonl")


def fresh_networks(
    space: SearchSpace, count: int, seed: int, *, known: Iterable[Sequence[OpSpec]] = ()
) -> tuple[Architecture, ...]:
    """Networks drawn uniformly, no two the same once compiled, none of them known; more of one seed begin with fewer.

    Raises SpaceError where the space does not have as many.
    """
    drawn: list[Architecture] = []
    seen = {_without_free(ops) for ops in known}
    for network in _draws(space, seed, seen):
        if len(drawn) == count:
            break
        drawn.append(network)
    if len(drawn) < count:
        raise SpaceError(
            f"space {space.name}: only {len(drawn)} networks could be drawn that the table was not calibrated with; "
            f"check with --networks {len(drawn)}"
        )
    return tuple(drawn)


def _draws(space: SearchSpace, seed: int, seen: set[Chain]) -> Iterator[Architecture]:
    """New networks, until many draws in a row bring none."""
    rng = random.Random(seed)
    misses = 0
    while misses < _PATIENCE:
        network = Architecture.random(space, rng)
        chain = _without_free(network.ops())
        misses = misses + 1 if chain in seen else 0
        if not misses:
            seen.add(chain)
            yield network


def _without_free(ops: Iterable[OpSpec]) -> Chain:
    """What is left of a network in its compiled form."""
    return tuple(op for op in ops if not op.free)


@dataclass(frozen=True, slots=True)
class KnownNetwork:
    """A network of the table, put together again."""

    name: str
    graph: Graph
    measured_ms: float


def rebuilt(networks: Iterable[MeasuredNetwork], space: SearchSpace) -> list[KnownNetwork]:
    """A table tells the operations of a network; they are its graph where they make a chain, else its name is."""
    found = []
    for network in networks:
        named = network_named(network.name, space)
        if named is not None and Counter(_without_free(named.ops())) == Counter(network.ops):
            found.append(KnownNetwork(network.name, named.graph(), network.measured_ms))
        elif all(before.out_shape == after.in_shape for before, after in pairwise(network.ops)):
            found.append(KnownNetwork(network.name, Graph.chain(network.ops), network.measured_ms))
    return found


def _spread(networks: Sequence[KnownNetwork], most: int) -> list[KnownNetwork]:
    """Evenly from the fastest to the slowest."""
    ordered = sorted(networks, key=lambda network: network.measured_ms)
    if len(ordered) <= most:
        return ordered
    return [ordered[round(place * (len(ordered) - 1) / (most - 1))] for place in range(most)]


def _compiled(graphs: Mapping[str, Graph], target: Target, watch: Watcher, cache: Path | None) -> dict[str, Artifact]:
    artifacts: dict[str, Artifact] = {}
    names = list(graphs)
    for start in range(0, len(names), _AT_ONCE):
        jobs = {
            name: compile_job(graphs[name], target.runtime, batch=target.batch, precision=target.precision)
            for name in names[start : start + _AT_ONCE]
        }
        artifacts |= compile_all(jobs, cache=cache)
        watch.progress("compile", len(artifacts), len(graphs))
    return artifacts


def _measured(
    table: LatencyTable, protocol: Protocol, work: Mapping[str, Artifact], path: Path, watch: Watcher, name: str
) -> dict[str, Measurement]:
    """One sweep over the networks; where the device is not what it was for the table, before anything is timed."""
    told = f"{path} and the table"

    def opener(target: Target, notify: Notify) -> Session:
        session = open_session(target, notify)
        try:
            session.environment.require_same(table.environment, what=told)
        except EnvironmentMismatchError:
            session.close()
            raise
        return session

    progress = partial(watch.progress, name)
    found = sweep(work, table.target, protocol, path, on_progress=progress, notify=watch.note, opener=opener)
    for measurement in found.values():  # those of an earlier call too
        measurement.environment.require_same(table.environment, what=told)
    return found


def _ms(table: LatencyTable, measurement: Measurement) -> float:
    """What the table predicts, of a measurement."""
    return Latency.of(measurement).ms(table.protocol.statistic)
