"""What ships against the runtime's own default export of the same network: latency, size, transpositions.

    python tests/benchmarks/exports.py --run runs/fashion-mnist

For torchvision's MobileNetV2 at 224 pixels, and for a network of a run (by default one of mbconv-28, untrained: it
times the same), the fp32 file that millis ships stands beside `torch.onnx.export(net, (x,), dynamo=True)` and
`litert_torch.convert(net.eval(), (x,))`. Both files of a pair are timed burst by burst in turn, in one sweep of the
profilers. Told are both latencies; the ratio, with the quartiles of the ratios round by round; sizes; and how many
transpositions stand in each file. The LiteRT file that ships ends in a softmax, which the default one does not have.
The result is printed and saved as JSON and Markdown under tests/benchmarks/results/ with machine, versions and date.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import platform
import random
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from deploy.kind import Kind
from pipeline.architecture import Architecture
from pipeline.checkpoint import load_weights
from pipeline.shipping import shipped_module
from pipeline.spaces import parse_space
from profilers import agent
from profilers.artifact import Artifact
from profilers.compile_cache import CompileJob, compile_all
from profilers.files import write_atomic, write_json
from profilers.measurement import Measurement
from profilers.protocol import Protocol, protocol_named
from profilers.runtimes.feeding import tensor_spec
from profilers.sweep import sweep
from profilers.target import Target

if TYPE_CHECKING:
    from torch import Tensor, nn

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("millis", "onnxruntime", "onnx", "onnxscript", "ai-edge-litert", "litert-torch", "torch", "torchvision")
DEFAULTS = {"onnxruntime": "torch.onnx.export", "litert": "litert_torch.convert"}
MIN_PAIRS = 3  # rounds in which neither burst was disturbed


@dataclass(frozen=True, slots=True)
class Subject:
    """A network in evaluation mode, and one image for it: [1, C, H, W]."""

    name: str
    network: nn.Module
    example: Tensor


def mobilenet_v2() -> Subject:
    """Random weights, which time as trained ones do; batch statistics away from their start."""
    import torch
    from torchvision.models import mobilenet_v2 as build

    torch.manual_seed(0)
    network = build(weights=None)
    with torch.no_grad():
        network(torch.randn(4, 3, 224, 224))
    return Subject("MobileNetV2 (torchvision), 224 px", network.eval(), torch.randn(1, 3, 224, 224))


def searched(run: Path | None, space: str, seed: int) -> Subject:
    """The trained network of a run, or else a random one of a space."""
    import torch

    if run is None:
        architecture = Architecture.random(parse_space(space), random.Random(seed))
    else:
        architecture = Architecture.load(run / "architecture.json")
    torch.manual_seed(seed)
    network = architecture.graph().module()
    if run is not None:
        load_weights(run / "weights.safetensors", network)
    shape = architecture.space.input_shape
    name = f"the network of {run}" if run else f"a network of {space}, seed {seed}"
    return Subject(name, network.eval(), torch.randn(1, shape.channels, shape.height, shape.width))


def default_export(subject: Subject, runtime: str, path: Path) -> Artifact:
    """As the documentation of the converter writes it, with nothing set."""
    import torch

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if runtime == "onnxruntime":
            program = torch.onnx.export(subject.network, (subject.example,), dynamo=True)
            assert program is not None
            program.save(str(path))
        else:
            import litert_torch

            litert_torch.convert(subject.network.eval(), (subject.example,)).export(str(path))
    given = tensor_spec("given", tuple(subject.example.shape))
    return Artifact.of(path, format="onnx" if runtime == "onnxruntime" else "tflite", inputs=(given,), outputs=())


def shipped_export(subject: Subject, runtime: str) -> Artifact:
    kind = Kind(runtime, "fp32")
    module = shipped_module(subject.network, runtime).eval()
    return compile_all({kind.name: CompileJob(runtime, module, subject.example, float_edges=True)})[kind.name]


def transpositions(artifact: Artifact) -> int:
    if artifact.format == "onnx":
        import onnx

        return sum(node.op_type == "Transpose" for node in onnx.load(artifact.path).graph.node)
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(artifact.path.read_bytes(), 0)
    kinds = [model.operatorCodes[each.opcodeIndex].builtinCode for graph in model.subgraphs for each in graph.operators]
    return kinds.count(schema.BuiltinOperator.TRANSPOSE)


def compared(subject: Subject, target: Target, protocol: Protocol, folder: Path) -> dict[str, Any]:
    """One pair, timed in turn."""
    suffix = "onnx" if target.runtime == "onnxruntime" else "tflite"
    pair = {
        "shipped": shipped_export(subject, target.runtime),
        "default": default_export(subject, target.runtime, folder / f"default.{suffix}"),
    }
    found = sweep(pair, target, protocol, folder / "pair.measurements.jsonl")
    paired = ratios(found["shipped"], found["default"])
    if len(paired) < MIN_PAIRS:
        sys.exit(f"{subject.name} on {target}: only {len(paired)} undisturbed rounds; run again on a quiet machine")
    low, middle, high = quantiles(paired, n=4, method="inclusive")
    return {
        "network": subject.name,
        "target": str(target),
        "default_export": DEFAULTS[target.runtime],
        "ratio": middle,
        "ratio_quartiles": [low, high],
        "protocol": protocol.describe(),
        **{
            name: {
                "median_ms": found[name].median_ms,
                "p90_ms": found[name].p90_ms,
                "spread": found[name].spread,
                "samples": found[name].samples,
                "size_bytes": artifact.size_bytes,
                "transpositions": transpositions(artifact),
            }
            for name, artifact in pair.items()
        },
    }


def ratios(shipped: Measurement, default: Measurement) -> list[float]:
    """Shipped over default, of bursts of the same round."""
    other = {burst.round: burst.undisturbed_ms for burst in default.valid}
    return [burst.undisturbed_ms / other[burst.round] for burst in shipped.valid if burst.round in other]


def markdown(pairs: Sequence[dict[str, Any]], told: dict[str, Any]) -> str:
    head = ["network", "target", "default", "shipped ms", "default ms", "shipped / default", "size", "transpositions"]
    rows = [
        [
            each["network"],
            f"`{each['target']}`",
            f"`{each['default_export']}`",
            f"{each['shipped']['median_ms']:.4f}",
            f"{each['default']['median_ms']:.4f}",
            f"{each['ratio']:.3f} ({each['ratio_quartiles'][0]:.3f} to {each['ratio_quartiles'][1]:.3f})",
            f"{each['shipped']['size_bytes'] / 1024:.0f} against {each['default']['size_bytes'] / 1024:.0f} KiB",
            f"{each['shipped']['transpositions']} against {each['default']['transpositions']}",
        ]
        for each in pairs
    ]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    about = [
        f"`{told['command']}`, {told['date']}",
        f"{told['machine']}; " + ", ".join(f"{name} {number}" for name, number in told["versions"].items()),
    ]
    return "\n\n".join(["# What ships against default exports", *about, "\n".join(lines), __doc__.split("\n\n")[2]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="the folder of a run; by default a network of --space")
    parser.add_argument("--space", default="mbconv-28")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, action="append", help="may be repeated; by default 1")
    parser.add_argument("--protocol", default="standard")
    parser.add_argument("--name", default="exports", help="of the result")
    asked = parser.parse_args()
    protocol, pairs = protocol_named(asked.protocol), []
    for subject in (mobilenet_v2(), searched(asked.run, asked.space, asked.seed)):
        for runtime in DEFAULTS:
            for threads in asked.threads or [1]:
                with TemporaryDirectory() as folder:
                    target = Target(runtime=runtime, threads=threads)
                    pairs.append(compared(subject, target, protocol, Path(folder)))
                each = pairs[-1]
                told = f"{each['shipped']['median_ms']:.4f} ms against {each['default']['median_ms']:.4f} ms"
                print(f"{subject.name} on {target}: {told}, ratio {each['ratio']:.3f}", flush=True)
    about = {
        "command": " ".join(["python", "tests/benchmarks/exports.py", *sys.argv[1:]]),
        "machine": f"{agent.cpu_model()}, {platform.machine()}",
        "versions": {name: version(name) for name in PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
    }
    path = RESULTS / f"{asked.name}.json"
    write_json(path, about | {"pairs": pairs})
    write_atomic(path.with_suffix(".md"), markdown(pairs, about) + "\n")
    print(path, path.with_suffix(".md"), sep="\n")


if __name__ == "__main__":
    main()
