"""`millis verify --measure`: the latency of a bundle beside the one that it promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.bundle import Bundle
from deploy.errors import BundleError
from deploy.promise import Promise, measure_promise
from latency_tables.table import Latency
from pipeline.cli.app import app
from profilers.devices import open_session
from profilers.target import Target
from tests.deploy.conftest import measured

Forge = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def _promise(measured_ms: float, *, spread: float = 0.01, differs: tuple[str, ...] = ()) -> Promise:
    latency = Latency(median_ms=measured_ms, spread=spread, samples=10, verdict="steady")
    promised = measured("onnxruntime", "fp32")  # 0.42 ms, spread 1.2 %, budget 0.5 ms
    return Promise(
        promised=promised,
        target=promised.target,
        latency=latency,
        measured_ms=measured_ms,
        slack=max(0.05, spread + promised.spread),
        differs=differs,
    )


@pytest.mark.parametrize(("ms", "holds"), [(0.1, True), (0.42, True), (0.44, True), (0.442, False), (0.6, False)])
def test_a_promise_holds_up_to_its_slack(ms: float, holds: bool) -> None:
    assert _promise(ms).holds is holds


def test_what_was_measured_with_a_wide_spread_is_judged_with_it() -> None:
    assert _promise(0.46, spread=0.2).holds


def test_another_device_neither_holds_nor_breaks_a_promise() -> None:
    assert _promise(9.9, differs=("cpu A there, B here",)).holds is None


def test_the_budget_is_judged_by_itself() -> None:
    assert _promise(0.5).within_budget
    assert not _promise(0.51).within_budget


@pytest.fixture
def here(server: Bundle, forge: Forge) -> Bundle:
    """A bundle whose promise was made on this machine, for one thread: half a second an image."""
    target = "local:onnxruntime?precision=int8"
    session = open_session(Target.parse(target))
    facts = dict(session.environment.facts)
    session.close()

    def promise(document: dict[str, Any]) -> None:
        [first] = document["models"][0]["measured"]
        first.update(target=target, measured_ms=500.0, device=facts)

    forge(server.folder, promise)
    return server


def test_on_the_machine_of_the_promise_it_holds(here: Bundle) -> None:
    found = measure_promise(here.folder)
    assert found.differs == ()
    assert found.holds
    assert found.latency.samples >= 30


def test_the_command_says_that_a_promise_holds(here: Bundle) -> None:
    ended = CliRunner().invoke(app, ["verify", str(here.folder), "--measure", "--json"])
    promise = json.loads(ended.stdout)["promise"]
    assert ended.exit_code == 0
    assert promise["holds"]
    assert promise["promised_ms"] == 500.0
    assert promise["interval_ms"][0] < 500 < promise["interval_ms"][1]


def test_the_command_fails_where_a_promise_is_broken(here: Bundle, forge: Forge) -> None:
    forge(here.folder, lambda document: document["models"][0]["measured"][0].update(measured_ms=1e-5, spread=0.0))
    ended = CliRunner().invoke(app, ["verify", str(here.folder), "--measure"])
    assert ended.exit_code == 1
    assert "WRONG    latency: does not hold" in ended.stdout
    assert f"millis: {here.folder}: its latency does not hold here" in ended.stderr


def test_another_machine_is_told_and_no_failure(server: Bundle) -> None:
    ended = CliRunner().invoke(
        app, ["verify", str(server.archive), "--measure", "--target", "local:onnxruntime?precision=int8"]
    )
    assert ended.exit_code == 0
    assert "told     latency:" in ended.stdout
    assert "not as promised: cpu Imaginary 3000 there, " in ended.stdout
    assert "not as promised: target local:onnxruntime?precision=int8&threads=2 there, " in ended.stdout


def test_the_precision_is_that_of_the_file_whatever_the_target_says(here: Bundle) -> None:
    found = measure_promise(here.folder, Target.parse("local:onnxruntime"))
    assert found.target == "local:onnxruntime?precision=int8"
    assert found.holds


def test_a_target_of_another_runtime_is_refused(server: Bundle) -> None:
    with pytest.raises(BundleError, match=r"local:litert does not run model-int8\.onnx, which is for onnxruntime"):
        measure_promise(server.folder, Target.parse("local:litert"))


def test_a_target_without_measuring_is_wrong_usage(server: Bundle) -> None:
    ended = CliRunner().invoke(app, ["verify", str(server.folder), "--target", "local:onnxruntime"])
    assert ended.exit_code == 2


def test_a_bundle_that_promises_nothing_is_told(gpu: Bundle) -> None:
    with pytest.raises(BundleError, match=r"server-gpu: model-fp16\.onnx: no latency is promised"):
        measure_promise(gpu.folder)


def test_a_protocol_of_another_version_is_told(server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["models"][0]["measured"][0].update(protocol="by hand"))
    with pytest.raises(BundleError, match="measured under a protocol that this version does not have: by hand"):
        measure_promise(server.folder)


def test_a_damaged_bundle_is_not_measured(server: Bundle) -> None:
    (server.folder / "labels.txt").write_text("other")
    with pytest.raises(BundleError, match=r"labels\.txt: its sha256"):
        measure_promise(server.folder)
