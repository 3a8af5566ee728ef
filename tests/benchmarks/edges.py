"""How much of an operation's time alone are its edges: quantising, dequantising, changing the layout.

    python tests/benchmarks/edges.py --space mbconv-28 --networks 8

Every operation of some networks of a space is compiled twice, with its edges and without; the networks as
`millis profile` compiles them. All are timed in turn in one process, so that what disturbs one disturbs its pair. Told
are the share of the edges in the time of an operation, and how well the sums of both kinds foretell the networks:
plainly, and each network by a calibration on the others. The result is printed and saved under
tests/benchmarks/results/ with machine, versions and date.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from latency_tables.accuracy import accuracy
from latency_tables.calibration import MeasuredNetwork, calibrate
from pipeline.profiling import compile_job, network_name, random_networks
from pipeline.spaces import parse_space
from profilers import agent
from profilers.compile_cache import CompileJob, compile_all
from profilers.graph import Graph
from profilers.op_spec import OpSpec
from profilers.precision import Precision

if TYPE_CHECKING:
    from onnx import GraphProto

RESULTS = Path(__file__).parent / "results"
BURST_MS = 5.0


@dataclass(frozen=True, slots=True)
class Case:
    """Two ways to compile an operation: the profiler's, and what `other` makes of its job and the profiler's file."""

    runtime: str
    precision: Precision
    edges: str
    other: Callable[[CompileJob, Path, Path], None]
    profiler_has_edges: bool

    @property
    def name(self) -> str:
        return f"{self.runtime} {self.precision}"


def without_reorders(_job: CompileJob, made: Path, path: Path) -> None:
    """ONNX Runtime's blocked layout (NCHWc) at the ends, too, as a neighbour leaves it; a file for this CPU only."""
    import onnx
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(path)
    InferenceSession(made, options, providers=["CPUExecutionProvider"])
    model = onnx.load(path)
    _cut_reorders(model.graph)
    onnx.save(model, path)


def _cut_reorders(graph: GraphProto) -> None:
    given, taken = graph.input[0], graph.output[0]
    first = next((n for n in graph.node if n.op_type == "ReorderInput" and n.input[0] == given.name), None)
    if first is not None:
        _lead(graph, first.output[0], given.name)
        graph.node.remove(first)
        _widen(given)
    last = next((n for n in graph.node if n.op_type == "ReorderOutput" and n.output[0] in _ends(graph)), None)
    if last is not None:
        source = last.input[0]
        addition = next((n for n in graph.node if n.op_type == "Add" and last.output[0] in n.input), None)
        if addition is not None:  # inside a network it is part of the convolution before it
            conv = next(n for n in graph.node if n.output[0] == source)
            shortcut = next(name for name in addition.input if name != last.output[0])
            conv.input.extend([""] * (3 - len(conv.input)) + [shortcut])
            graph.node.remove(addition)
        graph.node.remove(last)
        taken.name = source
        _widen(taken)
    del graph.value_info[:]


def _ends(graph: GraphProto) -> set[str]:
    """The output, and what an addition makes it of."""
    taken = graph.output[0].name
    addition = next((n for n in graph.node if n.op_type == "Add" and n.output[0] == taken), None)
    return {taken, *(addition.input if addition is not None else ())}


def _lead(graph: GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new


def _widen(edge: object, block: int = 16) -> None:
    channels = edge.type.tensor_type.shape.dim[1]  # type: ignore[attr-defined]
    channels.dim_value = -(-channels.dim_value // block) * block


def onnx_with_floats(job: CompileJob, _made: Path, path: Path) -> None:
    """What ONNX Runtime's quantiser makes by itself: floats in, floats out, channels first."""
    import onnx

    from profilers.blocks import folded
    from profilers.runtimes.feeding import batches
    from profilers.runtimes.onnx_int8 import _quantized
    from profilers.runtimes.onnxruntime import _exported

    model = _exported(folded(job.module), job.example)
    onnx.save(_quantized(model, "image", batches(job.example.numpy(), len(job.example))), path)


def litert_with_floats(job: CompileJob, _made: Path, path: Path) -> None:
    """A LiteRT file whose inside alone is quantised: QUANTIZE and DEQUANTIZE at its ends."""
    from ai_edge_quantizer import qtyping, quantizer, recipe

    from profilers.runtimes.litert import RUNTIME
    from profilers.runtimes.litert_quantization import _ranges

    RUNTIME.compile(job.module, job.example, path)
    work = quantizer.Quantizer(path, recipe.static_wi8_ai8())
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        work.update_quantization_recipe(".*", end, algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE)
    sample = {"args_0": job.example.permute(0, 2, 3, 1).contiguous().numpy()}
    ranges = _ranges(path, work.get_quantization_recipe(), [sample])
    path.write_bytes(work.quantize(ranges, enable_progress_report=False).quantized_model)


def litert_channels_first(job: CompileJob, _made: Path, path: Path) -> None:
    """litert-torch's plain conversion: PyTorch's layout at the ends, transposed to and from."""
    import litert_torch

    from profilers.blocks import folded

    with contextlib.redirect_stdout(io.StringIO()):
        litert_torch.convert(folded(job.module), (job.example,)).export(str(path))


CASES = (
    Case("onnxruntime", "fp32", "NCHWc reorders", without_reorders, profiler_has_edges=True),
    Case("onnxruntime", "int8", "quantise, dequantise, transpose", onnx_with_floats, profiler_has_edges=False),
    Case("litert", "fp32", "transpose", litert_channels_first, profiler_has_edges=False),
    Case("litert", "int8", "quantise, dequantise", litert_with_floats, profiler_has_edges=False),
)


def timed(models: dict[str, Path], runtime: str, rounds: int) -> dict[str, float]:
    """Milliseconds of each model: the median of its fastest burst, as neighbours only ever add time."""
    agent.pin(1, "big")
    loaded = {}
    for name, path in models.items():
        model = agent.MODELS[runtime](str(path), 1, "cpu")
        agent.feed_noise(model)
        agent.time_runs(model.run_ns, 5, BURST_MS, 1000)
        loaded[name] = model
    bursts: dict[str, list[float]] = {name: [] for name in loaded}
    for _ in range(rounds):
        for name, model in loaded.items():
            bursts[name].append(median(agent.time_runs(model.run_ns, 5, BURST_MS, 1000)) / 1e6)
    return {name: min(each) for name, each in bursts.items()}


def examine(case: Case, networks: dict[str, tuple[OpSpec, ...]], rounds: int, folder: Path) -> dict[str, object]:
    chains = {str(op): (op,) for ops in networks.values() for op in ops if not op.operation.free} | networks
    jobs = {
        name: compile_job(Graph.chain(chain), case.runtime, precision=case.precision) for name, chain in chains.items()
    }
    artifacts = compile_all(jobs)
    models = {name: artifact.path for name, artifact in artifacts.items()}
    for i, name in enumerate(chains.keys() - networks.keys()):
        path = folder / f"{i}{artifacts[name].path.suffix}"
        case.other(jobs[name], artifacts[name].path, path)
        models[f"other {name}"] = path
    ms = timed(models, case.runtime, rounds)
    prefixes = {"with edges": "", "without": "other "}
    if not case.profiler_has_edges:
        prefixes = {"with edges": "other ", "without": ""}
    isolated = {
        kind: {name: ms[prefix + name] for name in chains if name not in networks} for kind, prefix in prefixes.items()
    }
    return {
        "edges": case.edges,
        "profiler": "with edges" if case.profiler_has_edges else "without",
        "share": {op: 1 - isolated["without"][op] / isolated["with edges"][op] for op in isolated["without"]},
        "sums": {kind: told_by_sums(each, networks, ms) for kind, each in isolated.items()},
        "isolated_ms": isolated,
        "networks_ms": {name: ms[name] for name in networks},
    }


def told_by_sums(isolated_ms: dict[str, float], networks: dict[str, tuple[OpSpec, ...]], ms: dict[str, float]) -> str:
    chains = {name: tuple(op for op in ops if not op.free) for name, ops in networks.items()}
    alone_ms = {op: isolated_ms[str(op)] for ops in chains.values() for op in ops}
    evidence = [MeasuredNetwork(name=name, ops=ops, measured_ms=ms[name], spread=0.0) for name, ops in chains.items()]
    measured_ms = [network.measured_ms for network in evidence]
    plain = accuracy([sum(alone_ms[op] for op in ops) for ops in chains.values()], measured_ms)
    left_out = accuracy(calibrate(alone_ms, evidence).left_out_ms, measured_ms)
    return (
        f"{len(evidence)} networks, each predicted from the others, off by {left_out.mape:.1%} "
        f"(plain sums by {plain.mape:.1%})"
    )


def tell(name: str, found: dict[str, object]) -> None:
    share = found["share"]
    assert isinstance(share, dict)
    print(f"{name}: {found['edges']}; the profiler measures {found['profiler']}")
    print(f"  share of an operation: {spread_of(share.values())}")
    sums = found["sums"]
    assert isinstance(sums, dict)
    for kind, told in sums.items():
        print(f"  {kind:10} {told}")


def spread_of(shares: Iterable[float]) -> str:
    ordered = sorted(shares)
    return f"median {median(ordered):.1%}, from {ordered[0]:.1%} to {ordered[-1]:.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", default="mbconv-28")
    parser.add_argument("--networks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--only", action="append", default=[], help="a case, as in 'onnxruntime fp32'")
    asked = parser.parse_args()
    space = parse_space(asked.space)
    networks = {network_name(each): each.ops() for each in random_networks(space)[: asked.networks]}
    cases = [case for case in CASES if not asked.only or case.name in asked.only]
    cores = os.sched_getaffinity(0)
    found: dict[str, dict[str, object]] = {}
    for case in cases:
        os.sched_setaffinity(0, cores)  # conversions take all of them, a timing one
        with TemporaryDirectory() as folder:
            found[case.name] = examine(case, networks, asked.rounds, Path(folder))
        tell(case.name, found[case.name])
    record = {
        "space": space.name,
        "networks": len(networks),
        "statistic": f"median of the fastest of {asked.rounds} bursts of {BURST_MS:g} ms, all in turn",
        "found": found,
        "machine": f"{agent.cpu_model()}, {platform.machine()}, 1 thread",
        "versions": {name: version(name) for name in ("onnxruntime", "ai-edge-litert", "litert-torch", "torch")},
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / f"edges_{asked.space}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
