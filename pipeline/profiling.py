"""From a search space and targets to latency tables: compile, measure, calibrate."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from latency_tables.table import LatencyTable, build_table
from latency_tables.table_file import load_table, save_table
from pipeline.architecture import Architecture
from pipeline.side_by_side import side_by_side
from pipeline.space import Layer, SearchSpace
from pipeline.watcher import Watcher
from profilers.compile_cache import CompileJob, compile_all
from profilers.devices import require_device
from profilers.errors import EnvironmentMismatchError
from profilers.op_spec import OpSpec
from profilers.precision import Precision
from profilers.protocol import Protocol
from profilers.sweep import sweep
from profilers.target import Target

if TYPE_CHECKING:
    from torch import Tensor, nn

    from profilers.artifact import Artifact


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a table is measured from: operations, and whole networks that show what their sum misses."""

    ops: tuple[OpSpec, ...]
    networks: tuple[Architecture, ...] = ()
    space: str = ""  # the space that they are of

    @staticmethod
    def of(space: SearchSpace, *, networks: int, extra_ops: Sequence[OpSpec] = ()) -> Workload:
        return Workload(
            ops=tuple(dict.fromkeys([*space.op_specs(), *extra_ops])),
            networks=spread_architectures(space, networks),
            space=space.name,
        )

    def without(self, table: LatencyTable | None) -> Workload:
        """What the table does not hold yet."""
        if table is None:
            return self
        measured = {network.name for network in table.networks}
        known = {op for op, latency in table.entries.items() if latency.source != "inferred"}
        return Workload(
            space=self.space,
            ops=tuple(op for op in self.ops if op not in known),
            networks=tuple(network for network in self.networks if network_name(network) not in measured),
        )

    def chains(self) -> dict[str, tuple[OpSpec, ...]]:
        """Everything to compile by the name it is measured under."""
        named = {str(op): (op,) for op in self.ops}
        return named | {network_name(architecture): architecture.ops() for architecture in self.networks}


def network_name(architecture: Architecture) -> str:
    return "network " + " ".join(architecture.labels.values())


def spread_architectures(space: SearchSpace, count: int, seed: int = 0) -> tuple[Architecture, ...]:
    """The smallest network, the largest, and random ones leaning from one to the other: `count` in all, by MACs.

    Fewer where a space is so small that one is drawn twice.
    """
    rng = random.Random(seed)
    leans = [0.5] if count == 1 else [i / (count - 1) for i in range(count)]
    drawn = [Architecture(space, tuple(_leaning(layer, lean, rng) for layer in space.decisions)) for lean in leans]
    return tuple(sorted(dict.fromkeys(drawn), key=lambda architecture: architecture.macs))


def _leaning(layer: Layer, lean: float, rng: random.Random) -> int:
    """A candidate drawn by its rank in MACs: the least for `lean` 0, the most for 1."""
    ranked = sorted(range(len(layer.candidates)), key=lambda k: layer.candidates[k].macs)
    last = len(ranked) - 1
    weights = [((1 - lean) ** 2 * (last - rank) + lean**2 * rank) ** 3 for rank in range(len(ranked))]
    if lean in {0.0, 1.0}:
        return ranked[round(lean * last)]
    return rng.choices(ranked, weights)[0]


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
    known = {target: _known(target, path, protocol) for target, path in tables.items()}
    missing = {target: workload.without(table) for target, table in known.items()}
    jobs = {
        f"{target}: {name}": compile_job(chain, target.runtime, batch=target.batch, precision=target.precision)
        for target, lacking in missing.items()
        for name, chain in lacking.chains().items()
    }
    artifacts = compile_all(jobs, cache=cache, on_progress=partial(watch.progress, "compile"))

    def extend(target: Target, watch: Watcher) -> LatencyTable:
        return _extended(known[target], missing[target], target, tables[target], protocol, artifacts, watch)

    return side_by_side(tuple(tables), extend, watch)


def _known(target: Target, path: Path, protocol: Protocol) -> LatencyTable | None:
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
    chain: Sequence[OpSpec],
    runtime: str,
    network: nn.Module | None = None,
    *,
    batch: int = 1,
    precision: Precision = "fp32",
) -> CompileJob:
    """The job of compiling a chain: with `network`'s weights, or seeded ones, which time the same."""
    import torch

    from profilers.blocks import build_chain

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = network if network is not None else build_chain(tuple(chain))
    return CompileJob(runtime, module.eval(), example_for(chain, batch), precision)


def example_for(chain: Sequence[OpSpec], batch: int = 1) -> Tensor:
    """Random images of the chain's input shape: [N, C, H, W]."""
    import torch

    height, width, channels = chain[0].in_shape
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(0))


def _extended(
    known: LatencyTable | None,
    workload: Workload,
    target: Target,
    path: Path,
    protocol: Protocol,
    artifacts: Mapping[str, Artifact],
    watch: Watcher,
) -> LatencyTable:
    """The known table with the workload measured and added, written to `path`."""
    if known is not None and not workload.chains():
        return known
    work = {name: artifacts[f"{target}: {name}"] for name in workload.chains()}
    measured = sweep(
        work, target, protocol, journal_of(path), on_progress=partial(watch.progress, str(target)), notify=watch.note
    )
    table = build_table(
        target,
        protocol,
        {op: measured[str(op)] for op in workload.ops},
        [(network_name(net), net.ops(), measured[network_name(net)]) for net in workload.networks],
        space=workload.space,
        base=known,
        path=path,
    )
    save_table(table, path)
    return table
