"""From a search space and targets to latency tables: compile, measure, calibrate."""

from __future__ import annotations

import random
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from latency_tables.calibration import Calibration, calibrate
from latency_tables.informative import most_informative, typical_doubt, typical_half_width
from latency_tables.table import LatencyTable, build_table
from latency_tables.table_file import load_table, save_table
from pipeline.architecture import Architecture
from pipeline.rules import open_labels
from pipeline.side_by_side import side_by_side
from pipeline.space import SearchSpace, SpaceError
from pipeline.watcher import Watcher
from profilers.compile_cache import CompileJob, compile_all
from profilers.devices import require_device
from profilers.errors import EnvironmentMismatchError
from profilers.graph import Graph
from profilers.measurement import Measurement
from profilers.op_spec import OpSpec
from profilers.precision import Precision
from profilers.protocol import Protocol
from profilers.shape import Shape
from profilers.sweep import SENTINEL, sweep
from profilers.target import Target

if TYPE_CHECKING:
    from torch import Tensor, nn


# The first networks of a table are chosen before anything of it was measured, the others by what is still in doubt.
FIRST_NETWORKS = 16
MORE_NETWORKS = 8
# A table is calibrated once a prediction's 90 % interval is narrower than this to either side, or once doubt that more
# networks could take away is less than this share of the noise of measuring one.
NARROW = 0.025
LITTLE_DOUBT = 0.5
# The random networks among which those to be measured are chosen, and those whose predictions are to be narrow.
CANDIDATES = 200
_NETWORK = "network"  # begins the name of one among what is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a table is made from: operations, and at most `networks` of a space, which show what their sum misses."""

    ops: tuple[OpSpec, ...]
    space: SearchSpace | None = None
    networks: int = 0

    @staticmethod
    def of(space: SearchSpace, *, networks: int, extra_ops: Sequence[OpSpec] = ()) -> Workload:
        return Workload(ops=tuple(dict.fromkeys([*space.op_specs(), *extra_ops])), space=space, networks=networks)

    @property
    def sentinel(self) -> OpSpec:
        """An operation larger than most, whose times scatter little: it ties batches together and tells the speed."""
        by_size = sorted(self.ops, key=_guessed_ms)
        return by_size[len(by_size) * 9 // 10]

    def missing(self, table: LatencyTable | None) -> Batch:
        """What is to be measured next: all operations and the first networks, then networks that tell most."""
        if table is None:
            return Batch(ops=self.ops, networks=self._first_networks())
        known = {op for op, latency in table.entries.items() if latency.source != "inferred"}
        ops = tuple(op for op in self.ops if op not in known)
        if ops or not table.networks:
            measured = {network.name for network in table.networks}
            first = (network for network in self._first_networks() if network_name(network) not in measured)
            return Batch(ops=ops, networks=tuple(first))
        return Batch(networks=self._more_networks(table))

    def _first_networks(self) -> tuple[Architecture, ...]:
        if self.space is None:
            return ()
        guess = calibrate({op: _guessed_ms(op) for op in self.space.op_specs()}, ())
        return choose_networks(self.space, guess, min(FIRST_NETWORKS, self.networks))

    def _more_networks(self, table: LatencyTable) -> tuple[Architecture, ...]:
        """None where predictions are narrow enough, or where more networks would not make them narrower."""
        left = self.networks - len(table.networks)
        if self.space is None or left <= 0:
            return ()
        others = [network.ops() for network in random_networks(self.space)]
        narrow = typical_half_width(table.calibration, others) <= NARROW
        if narrow or typical_doubt(table.calibration, others) <= LITTLE_DOUBT * table.calibration.noise:
            return ()
        measured = {network.name for network in table.networks}
        return choose_networks(self.space, table.calibration, min(MORE_NETWORKS, left), without=measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Operations and networks to be measured side by side."""

    ops: tuple[OpSpec, ...] = ()
    networks: tuple[Architecture, ...] = ()

    def graphs(self) -> dict[str, Graph]:
        """Everything to compile by the name it is measured under."""
        named = {str(op): Graph.chain((op,)) for op in self.ops}
        return named | {network_name(architecture): architecture.graph() for architecture in self.networks}


def network_name(architecture: Architecture) -> str:
    return f"{_NETWORK} {architecture.text}"


def network_named(name: str, space: SearchSpace) -> Architecture | None:
    """The architecture of that name, where it is one of the space."""
    try:
        return Architecture.parse(space, name.removeprefix(_NETWORK))
    except SpaceError:
        return None


def _guessed_ms(op: OpSpec) -> float:
    """Good enough to choose by: an element moved costs as much as ten multiply-accumulates, of 1e9 a second."""
    return 1e-6 * (op.macs + 10 * op.cost.elements_moved)


def random_networks(space: SearchSpace, lean: float = 0.5) -> list[Architecture]:
    """CANDIDATES random networks, or fewer of a small space; the same on every call.

    They lean to candidates of few MACs for `lean` below 0.5, to many above; at 0 and 1 they are the extremes.
    """
    rng = random.Random(f"{space.name} {lean}")
    macs = [[sum(op.macs for op in ops) for ops in decision.ops] for decision in space.decisions]

    def draw() -> tuple[int, ...]:
        labels = zip(open_labels(space, rng), macs, strict=True)
        return tuple(_leaning(sorted(each, key=row.__getitem__), lean, rng) for each, row in labels)

    return [Architecture(space, choices) for choices in dict.fromkeys(draw() for _ in range(CANDIDATES))]


def _leaning(ranked: Sequence[int], lean: float, rng: random.Random) -> int:
    last = len(ranked) - 1
    if lean in {0.0, 1.0} or not last:
        return ranked[round(lean * last)]
    weights = [((1 - lean) ** 2 * (last - rank) + lean**2 * rank) ** 3 for rank in range(len(ranked))]
    return rng.choices(ranked, None if lean == 0.5 else weights)[0]


def choose_networks(
    space: SearchSpace, calibration: Calibration, count: int, without: Container[str] = ()
) -> tuple[Architecture, ...]:
    """Those whose measurement would tell most about random networks; among them small and large ones."""
    leaning = [network for lean in (0.0, 0.2, 0.8, 1.0) for network in random_networks(space, lean)]
    others = random_networks(space)
    different = {each.choices: each for each in [*leaning, *others]}.values()
    candidates = [each for each in different if network_name(each) not in without]
    chosen = most_informative(calibration, [each.ops() for each in candidates], [each.ops() for each in others], count)
    return tuple(candidates[place] for place in chosen)


def profile(
    workload: Workload,
    tables: Mapping[Target, Path],
    protocol: Protocol,
    *,
    watch: Watcher,
    cache: Path | None = None,
) -> dict[Target, LatencyTable]:
    """Compile for every target what its table lacks, measure it, write the tables. A call after a kill goes on.

    Raises EnvironmentMismatchError where a table that exists is of another target or protocol.
    """
    for target in tables:
        require_device(target)
    known = {target: known_table(target, path, protocol) for target, path in tables.items()}
    while batches := _missing(workload, known):
        measured = measure_batches(batches, known, tables, protocol, workload, watch=watch, cache=cache)
        known = {**known, **measured}
    return {target: table for target, table in known.items() if table is not None}


def _missing(workload: Workload, known: Mapping[Target, LatencyTable | None]) -> dict[Target, Batch]:
    batches = {target: workload.missing(table) for target, table in known.items()}
    return {target: batch for target, batch in batches.items() if batch.graphs()}


def known_table(target: Target, path: Path, protocol: Protocol) -> LatencyTable | None:
    """The table that lies at `path`, if one does; it must be one that the new measurements can join."""
    if not path.exists():
        return None
    table = load_table(path)
    if (table.target, table.protocol) != (target, protocol):
        raise EnvironmentMismatchError(
            f"{path}: a table of {table.target}, protocol {table.protocol.name}; measurements of {target}, "
            f"protocol {protocol.name}, cannot join it: choose another -o, or delete it"
        )
    return table


def journal_of(table: Path) -> Path:
    """Where the raw measurements behind a table lie."""
    return table.with_name(table.stem + ".measurements.jsonl")


def compile_job(
    graph: Graph,
    runtime: str,
    network: nn.Module | None = None,
    *,
    batch: int = 1,
    precision: Precision = "fp32",
) -> CompileJob:
    """The job of compiling a graph: with `network`'s weights, or seeded ones, which time the same."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = network if network is not None else graph.module()
    return CompileJob(runtime, module.eval(), example_for(graph.in_shape, batch), precision)


def example_for(shape: Shape, batch: int = 1) -> Tensor:
    """Random images of that shape: [N, C, H, W]."""
    import torch

    height, width, channels = shape
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0))


def measure_batches(
    batches: Mapping[Target, Batch],
    known: Mapping[Target, LatencyTable | None],
    tables: Mapping[Target, Path],
    protocol: Protocol,
    workload: Workload,
    *,
    watch: Watcher,
    cache: Path | None = None,
) -> dict[Target, LatencyTable]:
    """Each target's table with its batch measured and added, written to its path."""
    jobs = {
        f"{target}: {name}": compile_job(graph, target.runtime, batch=target.batch, precision=target.precision)
        for target, batch in batches.items()
        for name, graph in (batch.graphs() | {SENTINEL: Graph.chain((workload.sentinel,))}).items()
    }
    artifacts = compile_all(jobs, cache=cache, on_progress=partial(watch.progress, "compile"))

    def extend(target: Target, watch: Watcher) -> LatencyTable:
        work = {name: artifacts[f"{target}: {name}"] for name in (*batches[target].graphs(), SENTINEL)}
        measured = sweep(
            work,
            target,
            protocol,
            journal_of(tables[target]),
            on_progress=partial(watch.progress, str(target)),
            notify=watch.note,
        )
        return _extended(known[target], batches[target], target, tables[target], protocol, measured, workload.space)

    return side_by_side(tuple(batches), extend, watch)


def _extended(
    known: LatencyTable | None,
    batch: Batch,
    target: Target,
    path: Path,
    protocol: Protocol,
    measured: Mapping[str, Measurement],
    space: SearchSpace | None,
) -> LatencyTable:
    """The known table with what was measured, written to `path`."""
    table = build_table(
        target,
        protocol,
        {op: measured[str(op)] for op in batch.ops},
        [(network_name(net), net.ops(), measured[network_name(net)]) for net in batch.networks],
        space="" if space is None else space.name,
        base=known,
        path=path,
    )
    save_table(table, path)
    return table
