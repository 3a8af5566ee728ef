"""What each operation of a model takes, as node data that Model Explorer lays over the model's graph.

The format is that of google-ai-edge/model-explorer, `node_data_builder.py`: `results`, by the name of a node or of a
tensor that it gives, each with a `value`. Here these are milliseconds: an operation's share of what ONNX Runtime's own
profiler tells of all, times the median of the model without the profiler, which slows small operations most.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from profilers.agent_session import AgentSession
from profilers.artifact import Artifact
from profilers.devices import Notify, open_session, tell_nobody
from profilers.errors import TargetError
from profilers.files import sha256_of, write_atomic
from profilers.target import Target

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_RUNS = 60
_WARMING = 10  # of them, which do not count
_MARK = re.compile(r"millis(\d+)_")  # in names that ONNX Runtime makes of ours, whatever it fuses and renames
# What the time of a fused operation is told of: `Conv` and not the `Clip` that ONNX Runtime does within it.
_COMPUTING = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "Einsum", "LSTM", "GRU", "RNN"})
_COLOURS = ((0.0, "#ffffff"), (0.5, "#ffc400"), (1.0, "#d32f2f"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Milliseconds by node, and the share of the time that no node of the file accounts for: layouts, mostly."""

    target: str
    median_ms: float
    node_ms: Mapping[str, float]
    unattributed: float

    @property
    def how(self) -> str:
        return (
            f"{self.target}: shares of the times that ONNX Runtime's profiler tells, times the median without it, "
            f"{self.median_ms:.4f} ms; {self.unattributed:.1%} of them is of operations that the file does not have"
        )

    def document(self) -> dict[str, Any]:
        """As it stands in the file, for the graph that is shown."""
        return {
            "results": {name: {"value": ms} for name, ms in self.node_ms.items()},
            "gradient": [{"stop": stop, "bgColor": colour} for stop, colour in _COLOURS],
            "millis": {"unit": "ms", "how": self.how, "unattributed": self.unattributed},
        }


def require_operations(target: Target) -> None:
    """Raise TargetError where a runtime does not tell what each operation takes."""
    if target.runtime == "litert":
        raise TargetError(
            f"{target}: LiteRT's Python package tells the time of a whole model only; an overlay is made of an .onnx "
            "model on onnxruntime"
        )
    if target.runtime != "onnxruntime" or target.accelerator != "cpu" or target.kind not in {"local", "ssh"}:
        raise TargetError(f"{target}: an overlay is made by onnxruntime on a CPU, on this machine or over ssh")


def measure_overlay(artifact: Artifact, target: Target, median_ms: float, notify: Notify = tell_nobody) -> Overlay:
    """Profile an .onnx model on its target; `median_ms` is what it takes without the profiler.

    Raises TargetError where the runtime tells no times of operations, and for a model whose graphs hold others.
    """
    require_operations(target)
    import onnx

    model = onnx.load(artifact.path)
    with TemporaryDirectory(prefix="millis-overlay-") as scratch:
        times = _profiled(marked(model, artifact.path), artifact, target, Path(scratch), notify)
    share = shares({name: median(each[len(each) * _WARMING // _RUNS :]) for name, each in times.items()}, model.graph)
    return Overlay(
        target=str(target),
        median_ms=median_ms,
        node_ms={name: part * median_ms for name, part in share.items()},
        unattributed=max(0.0, 1 - sum(share.values())),
    )


def marked(model: ModelProto, path: Path) -> ModelProto:
    """A copy of a model whose nodes, and what they give, have their nodes' numbers for names.

    Raises TargetError for one with graphs inside of nodes, which run any number of times.
    """
    copy = type(model)()
    copy.CopyFrom(model)
    new: dict[str, str] = {}
    for number, node in enumerate(copy.graph.node):
        if any(attribute.g.node or attribute.graphs for attribute in node.attribute):
            raise TargetError(f"{path}: {node.op_type} holds a graph of its own; no overlay is made of such a model")
        node.name = f"millis{number}_"
        new |= {name: f"millis{number}_{place}" for place, name in enumerate(node.output) if name}
    for node in copy.graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for value in (*copy.graph.output, *copy.graph.value_info):
        value.name = new.get(value.name, value.name)
    return copy


def node_names(graph: GraphProto) -> list[str]:
    """What Model Explorer knows each node by: its name, or what it gives where that is missing or not its own."""
    taken = Counter(node.name for node in graph.node)
    return [node.name if node.name and taken[node.name] == 1 else _given(node) for node in graph.node]


def shares(times: Mapping[str, float], graph: GraphProto) -> dict[str, float]:
    """The part that each node has of all times, by the numbers in the names that they were taken under."""
    total, names = sum(times.values()), node_names(graph)
    marks = {name: int(mark[1]) for name in times if (mark := _MARK.search(name)) is not None}
    owners = _owners(graph, frozenset(marks.values()))
    found: dict[str, float] = {}
    for name, number in marks.items():
        node = names[owners[number]]
        found[node] = found.get(node, 0.0) + (times[name] / total if total else 0.0)
    return found


def _owners(graph: GraphProto, timed: frozenset[int]) -> dict[int, int]:
    """For each node with a time: the one that computes, among it and those without times that lead to it alone."""
    makers = {name: number for number, node in enumerate(graph.node) for name in node.output}
    return {number: _owner(graph, number, makers, timed) for number in timed}


def _owner(graph: GraphProto, number: int, makers: Mapping[str, int], timed: frozenset[int]) -> int:
    """The node itself where none computes, or several do."""
    fused, waiting = {number}, [number]
    while waiting and graph.node[number].op_type not in _COMPUTING:
        before = {makers[name] for name in graph.node[waiting.pop()].input if name in makers} - timed - fused
        fused |= before
        waiting += before
    computing = [each for each in fused if graph.node[each].op_type in _COMPUTING]
    return computing[0] if len(computing) == 1 else number


def _given(node: NodeProto) -> str:
    return next(filter(None, node.output), node.name)


def _profiled(
    model: ModelProto, artifact: Artifact, target: Target, scratch: Path, notify: Notify
) -> dict[str, tuple[float, ...]]:
    path = scratch / artifact.path.name
    write_atomic(path, model.SerializeToString())
    session = open_session(target, notify)
    try:
        assert isinstance(session, AgentSession)  # as on every target that tells of operations
        return session.profile(replace(artifact, path=path, sha256=sha256_of(path)), _RUNS)
    finally:
        session.close()
