"""Promises, and `millis verify --measure`: the latency of a bundle beside the one that it promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.bundle import Bundle
from deploy.errors import BundleError
from deploy.promise import Outcome, Promise, Remeasured, judge, measure_promise
from latency_tables.table import Latency
from pipeline.cli.app import app
from profilers.devices import open_session
from profilers.protocol import protocol_named
from profilers.target import Target
from tests.deploy.conftest import measured

Forge = Callable[[Path, Callable[[dict[str, Any]], None]], None]


PROMISED = measured("onnxruntime", "fp32")  # median 0.42 ms, spread 1.2 %, budget 0.5 ms
DEVICE = {"cpu": "A", "threads": "1"}


def _judged(median_ms: float, *, spread: float = 0.01, p90_ms: float | None = None, **promised: Any) -> Outcome:
    latency = Latency(median_ms=median_ms, p90_ms=p90_ms, spread=spread, samples=10, verdict="steady")
    return judge(replace(Promise.of(replace(PROMISED, device=DEVICE)), **promised), latency, DEVICE, drift=0.05)


@pytest.mark.parametrize(("ms", "holds"), [(0.1, True), (0.42, True), (0.44, True), (0.442, False), (0.6, False)])
def test_a_promise_holds_up_to_its_slack(ms: float, holds: bool) -> None:
    assert _judged(ms).holds is holds


def test_what_was_measured_with_a_wide_spread_is_judged_with_it() -> None:
    assert _judged(0.46, spread=0.2).holds


def test_a_prediction_is_judged_by_its_own_interval() -> None:
    assert _judged(0.5, interval_ms=(0.3, 0.5)).holds
    assert _judged(0.43, interval_ms=(0.3, 0.425), spread=0.2).holds is False


@pytest.mark.parametrize("device", [DEVICE | {"cpu": "B"}, {"cpu": "A"}, DEVICE | {"governor": "performance"}])
def test_another_device_neither_holds_nor_breaks_a_promise(device: dict[str, str]) -> None:
    outcome = _judged(9.9, device=device)
    assert outcome.holds is None
    assert len(outcome.differs) == 1


def test_the_precision_is_the_file_s_and_makes_no_other_device() -> None:
    assert _judged(0.42, device=DEVICE | {"precision": "int8"}).differs == ()


def test_a_promised_median_is_compared_with_the_median_and_a_p90_with_the_p90() -> None:
    assert _judged(0.42, p90_ms=0.9).holds
    final = replace(PROMISED, protocol=protocol_named("final").describe(), device=DEVICE)
    outcome = judge(
        Promise.of(final), Latency(median_ms=0.4, p90_ms=0.9, spread=0, samples=9, verdict="steady"), DEVICE, drift=0.05
    )
    assert (outcome.found_ms, outcome.holds) == (0.9, False)


@pytest.mark.parametrize("statistic", ["mean", None])
def test_what_was_not_measured_is_not_judged_and_said(statistic: str | None) -> None:
    outcome = _judged(0.1, statistic=statistic)
    assert (outcome.holds, outcome.difference) == (None, None)
    assert outcome.differs == (f"{statistic or 'another protocol'} there, not measured here",)


def test_the_budget_is_judged_by_itself() -> None:
    latency = Latency(median_ms=0.5, spread=0, samples=9, verdict="steady")
    kept = Remeasured(promised=PROMISED, target="", latency=latency, measured_ms=0.5, outcome=_judged(0.5))
    assert kept.within_budget
    assert not replace(kept, measured_ms=0.51).within_budget


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
    assert found.outcome.differs == ()
    assert found.outcome.holds
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
    assert "not as promised: threads unknown there, 1 here" in ended.stdout


def test_the_precision_is_that_of_the_file_whatever_the_target_says(here: Bundle) -> None:
    found = measure_promise(here.folder, Target.parse("local:onnxruntime"))
    assert found.target == "local:onnxruntime?precision=int8"
    assert found.outcome.holds


def test_a_target_of_another_runtime_is_refused(server: Bundle) -> None:
    with pytest.raises(BundleError, match=r"local:litert does not run model-int8\.onnx, which is for onnxruntime"):
        measure_promise(server.folder, Target.parse("local:litert"))


@pytest.mark.parametrize(
    "target", ["ssh:root@example.org:onnxruntime", "adb:onnxruntime", "browser:lan:onnxruntime", "secret.yaml", "words"]
)
def test_no_manifest_says_where_to_connect_or_which_file_to_open(target: str, server: Bundle, forge: Forge) -> None:
    forge(server.folder, lambda document: document["models"][0]["measured"][0].update(target=target))
    with pytest.raises(BundleError, match=rf"measured on '{target}': give --target to say where to measure$"):
        measure_promise(server.folder)


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
