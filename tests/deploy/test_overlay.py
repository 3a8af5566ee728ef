from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper
from onnxruntime import InferenceSession

from deploy.overlay import marked, measure_overlay, node_names, require_operations, shares
from profilers.artifact import Artifact
from profilers.errors import TargetError
from profilers.model_files import read_model
from profilers.target import Target
from tests.profilers.foreign_models import write_onnx, write_text_model

LOCAL = Target(runtime="onnxruntime")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path / "cache"))


def test_every_name_in_an_overlay_is_a_node_of_the_file(onnx: Artifact) -> None:
    overlay = measure_overlay(onnx, LOCAL, median_ms=2.0)
    nodes = names_in(onnx.path)
    assert overlay.node_ms
    assert overlay.node_ms.keys() <= nodes
    convolutions = {name for name in nodes if kind_of(onnx.path, name) == "Conv"}
    assert convolutions & overlay.node_ms.keys()
    assert "Clip" not in {kind_of(onnx.path, name) for name in overlay.node_ms}  # it is fused into them


def test_the_parts_and_what_is_no_node_of_the_file_make_up_the_median(onnx: Artifact) -> None:
    overlay = measure_overlay(onnx, LOCAL, median_ms=2.0)
    assert 0 <= overlay.unattributed < 1
    assert sum(overlay.node_ms.values()) == pytest.approx(2.0 * (1 - overlay.unattributed))


def test_a_foreign_model_of_several_inputs_has_one_too(tmp_path: Path) -> None:
    path = write_text_model(tmp_path / "text.onnx")
    overlay = measure_overlay(read_model(path, {"ids": (2, 9)}), LOCAL, median_ms=1.0)
    assert {"look_up", "mask_out"} <= overlay.node_ms.keys() <= names_in(path)


def test_the_file_is_node_data_as_model_explorer_reads_it(onnx: Artifact) -> None:
    document = measure_overlay(onnx, LOCAL, median_ms=2.0).document()
    assert all(result.keys() == {"value"} and result["value"] >= 0 for result in document["results"].values())
    assert "results" not in document["results"]  # by which Model Explorer tells a graph from a file of graphs
    stops = [each["stop"] for each in document["gradient"]]
    assert (stops[0], stops[-1], stops) == (0, 1, sorted(stops))
    assert all(each["bgColor"].startswith("#") for each in document["gradient"])
    assert "without" in document["millis"]["how"]


def test_a_marked_copy_computes_the_same(onnx: Artifact, tmp_path: Path) -> None:
    copy = tmp_path / "marked.onnx"
    copy.write_bytes(marked(load(onnx.path), onnx.path).SerializeToString())
    image = np.random.default_rng(0).standard_normal(onnx.inputs[0].shape).astype(np.float32)
    results = [
        InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {onnx.inputs[0].name: image})[0]
        for path in (onnx.path, copy)
    ]
    np.testing.assert_array_equal(*results)


def test_nodes_without_a_name_of_their_own_go_by_what_they_give(tmp_path: Path) -> None:
    edge = (TensorProto.FLOAT, [2])
    nodes = [
        helper.make_node("Abs", ["x"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"], name="same"),
        helper.make_node("Abs", ["b"], ["y"], name="same"),
    ]
    path = write_onnx(tmp_path / "m.onnx", nodes, {"x": edge}, {"y": edge})
    assert node_names(load(path).graph) == ["a", "b", "y"]


def test_a_node_that_holds_a_graph_is_refused(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("z", TensorProto.FLOAT, [2])
    branches = [helper.make_graph([helper.make_node(kind, ["x"], ["z"])], kind, [], [value]) for kind in ("Abs", "Neg")]
    node = helper.make_node("If", ["which"], ["y"], then_branch=branches[0], else_branch=branches[1])
    edge = (TensorProto.FLOAT, [2])
    path = write_onnx(tmp_path / "m.onnx", [node], {"x": edge, "which": (TensorProto.BOOL, [])}, {"y": edge})
    with pytest.raises(TargetError, match=r"m\.onnx: If holds a graph of its own"):
        measure_overlay(read_model(path), LOCAL, median_ms=1.0)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("local:litert", "LiteRT's Python package tells the time of a whole model only"),
        ("local:onnxruntime?accelerator=cuda", "an overlay is made by onnxruntime on a CPU"),
        ("browser:onnxruntime", "an overlay is made by onnxruntime on a CPU"),
        ("local:pytorch", "an overlay is made by onnxruntime on a CPU"),
    ],
)
def test_a_target_that_tells_of_no_operations_is_refused(target: str, told: str) -> None:
    with pytest.raises(TargetError, match=told):
        require_operations(Target.parse(target))


NAMES = st.sampled_from(
    ["millis0_", "millis1_0_nchwc", "fused millis2_", "ReorderOutput_token_3", "millis1__quant/millis0_", "reorder"]
)


@given(st.dictionaries(NAMES, st.floats(1e-6, 1e3), min_size=1))
def test_shares_are_of_all_times_and_never_more(times: dict[str, float]) -> None:
    found = shares(times, chain("Abs", "Neg", "Abs"))
    known = sum(time for name, time in times.items() if "millis" in name)
    assert sum(found.values()) == pytest.approx(known / sum(times.values()))
    assert found.keys() <= {"n0", "n1", "n2"}


def test_a_name_that_holds_a_mark_is_its_node_s() -> None:
    times = {"fused millis2_": 1.0, "millis0_0_nchwc": 3.0}
    assert shares(times, chain("Abs", "Neg", "Abs")) == {"n2": 0.25, "n0": 0.75}


@pytest.mark.parametrize(
    ("kinds", "times", "told"),
    [
        (("Conv", "Clip"), {"millis1_0_nchwc": 1.0}, {"n0": 1.0}),
        (("Conv", "Clip"), {"millis0_": 1.0, "millis1_": 3.0}, {"n0": 0.25, "n1": 0.75}),
        (("DequantizeLinear", "Conv", "Relu", "QuantizeLinear"), {"millis3_": 1.0}, {"n1": 1.0}),
        (("Conv", "Clip", "Identity", "Relu"), {"millis1_": 1.0, "millis3_": 1.0}, {"n0": 0.5, "n3": 0.5}),
        (("Conv", "Conv", "Relu"), {"millis2_": 1.0}, {"n2": 1.0}),
        (("Abs", "Relu"), {"millis1_": 1.0}, {"n1": 1.0}),
    ],
)
def test_the_time_of_a_fused_operation_is_that_of_what_computes_in_it(
    kinds: tuple[str, ...], times: dict[str, float], told: dict[str, float]
) -> None:
    assert shares(times, chain(*kinds)) == told


def chain(*kinds: str) -> onnx.GraphProto:
    """Nodes n0, n1, … one after another."""
    nodes = [helper.make_node(kind, [f"t{i}"], [f"t{i + 1}"], name=f"n{i}") for i, kind in enumerate(kinds)]
    return helper.make_graph(nodes, "chain", [], [])


def load(path: Path) -> onnx.ModelProto:
    return onnx.load(path)


def names_in(path: Path) -> set[str]:
    graph = load(path).graph
    return {node.name for node in graph.node} | {name for node in graph.node for name in node.output}


def kind_of(path: Path, name: str) -> str:
    return next(str(node.op_type) for node in load(path).graph.node if name in {node.name, *node.output})
