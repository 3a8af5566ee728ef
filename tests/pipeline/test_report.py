"""The report: what it says, that it reads back, and how it looks in a browser."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import pictures
from pipeline.report import (
    Baseline,
    BlockReport,
    CalibrationPoint,
    PrecisionReport,
    Report,
    Rival,
    TargetReport,
    TrainPoint,
    count,
    finite,
    percent,
    read_report,
    render_html,
    seconds,
    significant,
    write_report,
)
from pipeline.search_task import Judged, SearchEpoch
from profilers.errors import FileError
from profilers.op_spec import OpSpec
from profilers.precision import Precision

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

OPS = (
    "conv in=16x16x1 out=16 kernel=3 stride=1 act=hswish",
    "mbconv in=16x16x16 out=16 kernel=3 stride=1 expand=1 act=hswish se=0",
    "mbconv in=16x16x16 out=24 kernel=5 stride=2 expand=3 act=hswish se=0",
    "mbconv in=8x8x24 out=24 kernel=3 stride=1 expand=3 act=hswish se=0",
    "identity in=8x8x24",
    "mbconv in=8x8x24 out=40 kernel=7 stride=2 expand=6 act=hswish se=0",
    "mbconv in=4x4x40 out=40 kernel=3 stride=1 expand=3 act=hswish se=10",
    "identity in=4x4x40",
    "mbconv in=4x4x40 out=64 kernel=5 stride=1 expand=6 act=hswish se=0",
    "mbconv in=4x4x64 out=64 kernel=7 stride=1 expand=6 act=hswish se=0",
    "conv in=4x4x64 out=128 kernel=1 stride=1 act=hswish",
    "classifier in=4x4x128 out=10",
)
BASE_MS = 0.01  # what a call costs in the sample, whatever the layers
OVERHEAD_MS = {"local:onnxruntime": 0.004, "local:litert?threads=2": 0.012}  # of each layer


# Pairs of texts in one picture, or in one strip of blocks, whose boxes share more than a pixel each way.
OVERLAPPING_TEXTS = """
() => [...document.querySelectorAll("figure svg, figure .strip")].flatMap(picture => {
  const texts = [...picture.querySelectorAll("text, span")].map(e => [e.textContent, e.getBoundingClientRect()]);
  return texts.flatMap(([a, p], i) => texts.slice(i + 1).filter(([_, q]) =>
    Math.min(p.right, q.right) - Math.max(p.left, q.left) > 1 &&
    Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 1
  ).map(([b]) => [a, b]));
})
"""


def cost_ms(spec: OpSpec, target: str) -> float:
    return 0 if spec.free else OVERHEAD_MS[target] + spec.cost.elements_moved / 3e6 + spec.macs / 2e7


def sample_block(place: int, op: str) -> BlockReport:
    spec = OpSpec.parse(op)
    latency_ms = {target: cost_ms(spec, target) for target in OVERHEAD_MS}
    return BlockReport(
        name=f"layer{place}", op=op, label=spec.label, macs=spec.macs, params=spec.params, latency_ms=latency_ms
    )


def sample_precisions(target: str, ms: float) -> tuple[PrecisionReport, ...]:
    """int8 is shipped by LiteRT, and slower by ONNX Runtime."""
    slower = "onnxruntime" in target
    fp32 = sample_precision("fp32", ms, shipped=slower, reason="the fastest")
    int8_ms = 1.2 * ms if slower else 0.6 * ms
    reason = f"slower than fp32: {int8_ms:.4g} ms against {ms:.4g} ms on {target}" if slower else "the fastest"
    int8 = sample_precision("int8", int8_ms, shipped=not slower, reason=reason)
    return (fp32, int8) if slower else (int8, replace(fp32, reason=f"int8 is the better one; {ms:.4g} ms on {target}"))


def sample_precision(precision: Precision, ms: float, *, shipped: bool, reason: str) -> PrecisionReport:
    return PrecisionReport(
        precision=precision,
        shipped=shipped,
        reason=reason,
        measured_ms=ms,
        p90_ms=1.04 * ms,
        spread=0.012,
        samples=1830,
        size_bytes=412_300 if precision == "fp32" else 121_900,
        accuracy=0.9833 if precision == "fp32" else 0.9806,
        test_images=360,
        validation_accuracy=0.9861 if precision == "fp32" else 0.9833,
        validation_images=287,
        parity_max_abs_difference=2.4e-6 if precision == "fp32" else 0.12,
        parity_top1_agreement=1.0 if precision == "fp32" else 0.9944,
    )


def sample_target(target: str, *, miss: float) -> TargetReport:
    """The sample network on one target, measured `miss` above its prediction."""
    predicted_ms = BASE_MS + sum(cost_ms(OpSpec.parse(op), target) for op in OPS)
    scales = [0.45 + 0.13 * step for step in range(12)]
    return TargetReport(
        target=target,
        runtime_version="1.31.1",
        budget="40%",
        budget_ms=predicted_ms * 1.04,
        fastest_ms=predicted_ms * 0.42,
        slowest_ms=predicted_ms * 1.97,
        predicted_ms=predicted_ms,
        measured_ms=predicted_ms * (1 + miss),
        p90_ms=predicted_ms * (1.04 + miss),
        spread=0.012,
        samples=1830,
        size_bytes=412_300,
        parity_max_abs_difference=2.4e-6,
        parity_top1_agreement=1.0,
        bundle="bundles/android" if "litert" in target else "bundles/server-cpu",
        bundles=("bundles/android", "bundles/web") if "litert" in target else ("bundles/server-cpu",),
        precisions=sample_precisions(target, predicted_ms * (1 + miss)),
        device={"cpu": "AMD EPYC 9R14", "cores": "2", "governor": "unknown", "os": "Linux 6.18 x86_64"},
        calibration=tuple(
            CalibrationPoint(
                predicted_ms=predicted_ms * scale, measured_ms=predicted_ms * scale * (1 + 0.05 * math.sin(7 * scale))
            )
            for scale in scales
        ),
    )


def sample_report() -> Report:
    """What a run of the quickstart might report."""
    targets = (sample_target("local:onnxruntime", miss=0.021), sample_target("local:litert?threads=2", miss=-0.034))
    blocks = tuple(sample_block(place, op) for place, op in enumerate(OPS))
    return Report(
        millis_version="0.1.0",
        name="quickstart",
        space="mbconv-16",
        data="digits",
        strategy="proxyless",
        seed=0,
        budget_ms={target.target: target.budget_ms for target in targets},
        accuracy=0.9833,
        accuracy_interval=(0.9641, 0.9924),
        test_images=360,
        params=sum(block.params for block in blocks),
        macs=sum(block.macs for block in blocks),
        wall_s=221.4,
        stages={"profile": 62.0, "search": 84.3, "train": 41.2, "export": 21.7, "package": 12.2},
        targets=targets,
        blocks=blocks,
        search=tuple(search_epoch(epoch, targets) for epoch in range(1, 41)),
        train=tuple(
            TrainPoint(epoch=epoch, loss=0.5 + 1.8 * math.exp(-epoch / 6), accuracy=0.99 - 0.7 * math.exp(-epoch / 5))
            for epoch in range(1, 31)
        ),
        parameterless=0.25,
        seeds=tuple(Judged(seed=seed, choices={}, accuracy=0.9 + 0.01 * seed) for seed in range(4)),
        baseline=Baseline(epochs=12, networks=4, found=sample_rival(0.962), random=sample_rival(0.951)),
    )


def sample_rival(accuracy: float) -> Rival:
    return Rival(
        choices={}, accuracy=accuracy, predicted_ms=dict.fromkeys(OVERHEAD_MS, 0.21), params=36_210, macs=1_251_000
    )


def search_epoch(epoch: int, targets: tuple[TargetReport, ...]) -> SearchEpoch:
    fade = math.exp(-max(0, epoch - 8) / 7)
    return SearchEpoch(
        epoch=epoch,
        phase="warmup" if epoch <= 8 else "search",
        loss=0.4 + 1.9 * math.exp(-epoch / 9),
        accuracy=0.96 - 0.8 * math.exp(-epoch / 7) + 0.01 * math.sin(3 * epoch),
        expected_ms={t.target: t.budget_ms * (0.98 + 0.4 * fade + 0.01 * math.sin(2 * epoch)) for t in targets},
        multiplier={t.target: 1 - fade for t in targets},
    )


@pytest.fixture(scope="module")
def report() -> Report:
    return sample_report()


@pytest.fixture(scope="module")
def written(report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has the report."""
    run = tmp_path_factory.mktemp("run")
    write_report(report, run)
    return run


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    return (written / "report.html").read_text()


def test_a_written_report_reads_back_equal(report: Report, written: Path) -> None:
    assert read_report(written) == report


def test_outputs_that_are_no_numbers_are_null_in_the_json_and_told_on_the_page(report: Report, tmp_path: Path) -> None:
    assert [finite(value) for value in (0.5, math.nan, math.inf)] == [0.5, None, None]
    broken = replace(report, targets=tuple(replace(each, parity_max_abs_difference=None) for each in report.targets))
    write_report(broken, tmp_path)
    assert read_report(tmp_path) == broken
    assert "largest difference not a number" in (tmp_path / "report.html").read_text()


def test_the_json_holds_what_other_programs_rely_on(written: Path) -> None:
    document = json.loads((written / "report.json").read_text())
    assert {"schema", "budget_ms", "accuracy", "params", "macs", "wall_s"} <= document.keys()
    for target in document["targets"]:
        assert {"target", "predicted_ms", "measured_ms", "p90_ms", "bundle"} <= target.keys()


def test_a_report_of_another_schema_is_refused(written: Path, tmp_path: Path) -> None:
    document = (written / "report.json").read_text().replace('"schema": 2', '"schema": 99')
    (tmp_path / "report.json").write_text(document)
    with pytest.raises(FileError, match="version 99, but this millis reads version 2"):
        read_report(tmp_path)


def test_a_field_of_the_wrong_kind_is_named(written: Path, tmp_path: Path) -> None:
    document = (written / "report.json").read_text().replace('"samples": 1830', '"samples": "many"')
    (tmp_path / "report.json").write_text(document)
    with pytest.raises(FileError, match=r"targets\.0\.samples"):
        read_report(tmp_path)


def test_the_same_report_gives_the_same_page(html: str) -> None:
    assert html == render_html(sample_report())


def test_identifiers_on_the_page_are_unique_and_each_reference_has_one(html: str) -> None:
    identifiers = re.findall(r'\bid="([^"]+)"', html)
    assert len(identifiers) == len(set(identifiers))
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', html)) <= {(i, "") for i in identifiers} | {
        ("", i) for i in identifiers
    }


def test_every_latency_is_shown_with_how_it_was_obtained(html: str) -> None:
    for phrase in ("onnxruntime 1.31.1 on local cpu, fp32, 1 thread, batch 1", "1,830 inferences", "spread of 1.2 %"):
        assert phrase in html


def test_a_name_with_markup_is_text(report: Report) -> None:
    page = render_html(replace(report, name="<script>alert(1)</script> & more"))
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page


def test_a_network_over_its_budget_is_said_to_be(report: Report, html: str) -> None:
    target = report.targets[0]
    slow = replace(target.shipped, measured_ms=target.budget_ms * 1.2)
    late = replace(target, precisions=(slow, *target.precisions[1:]))
    assert "over budget" in render_html(replace(report, targets=(late,)))
    assert "over budget" not in html


def test_a_budget_is_kept_by_what_is_shipped_and_not_by_what_is_not(report: Report) -> None:
    target = report.targets[1]
    assert target.shipped.precision == "int8"
    assert replace(target, budget_ms=target.shipped.measured_ms, measured_ms=9).within_budget
    assert not replace(target, budget_ms=target.shipped.measured_ms * 0.99).within_budget


def test_every_precision_is_shown_with_why_it_is_shipped_or_not(report: Report, html: str) -> None:
    page = " ".join(html.split())
    for target in report.targets:
        for each in target.precisions:
            assert each.reason in page and percent(each.validation_accuracy, 2) in page
    assert page.count("<b>shipped</b>") == len(report.targets)


def test_a_target_without_a_bundle_links_to_none(report: Report) -> None:
    page = render_html(replace(report, targets=(replace(report.targets[0], bundle="", bundles=()),)))
    assert "bundles/" not in page


def test_a_run_without_curves_or_calibration_still_has_a_page(report: Report) -> None:
    targets = tuple(replace(target, calibration=()) for target in report.targets)
    page = render_html(replace(report, targets=targets, search=(), train=()))
    assert page.count("<svg") == 2 * len(targets)


def test_seeds_and_random_networks_at_equal_cost_are_shown_beside_the_result(report: Report, html: str) -> None:
    page = " ".join(html.split())
    assert "The best of 4 searches" in page and "seed 3 93.00 %" in page
    assert "best of 4 random networks at the budget, which cost in all what the search cost" in page
    assert "96.20 %" in page and "95.10 %" in page
    alone = render_html(replace(report, seeds=(), baseline=None))
    assert "How good the search was" not in alone


def test_choices_without_parameters_that_dominate_are_a_warning(report: Report, html: str) -> None:
    assert "Warning" not in html
    assert "60% of the choices have no parameters" in render_html(replace(report, parameterless=0.6))


def test_a_single_epoch_is_drawn_as_a_point(report: Report) -> None:
    marker = r'<use [^>]*style="fill: var\(--accuracy\)'
    assert len(re.findall(marker, pictures.training_curves(report.train[:1]))) == 1


def test_the_shares_of_the_layers_and_the_call_itself_make_up_the_prediction(report: Report) -> None:
    target = report.targets[0]
    blocks = pictures.strip(report, target)
    assert sum(block.share for block in blocks) == pytest.approx(1 - BASE_MS / target.predicted_ms)
    assert [block.label for block in blocks if block.removed] == ["identity", "identity"]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.00000"), (0.04231, "0.0423"), (0.9996, "1.000"), (12.34, "12.3"), (1234.6, "1235")]
)
def test_numbers_have_about_three_significant_digits(value: float, text: str) -> None:
    assert significant(value) == text


@given(st.floats(min_value=0.001, max_value=1e6))
def test_a_shown_number_is_within_half_a_percent_of_the_number(value: float) -> None:
    assert float(significant(value)) == pytest.approx(value, rel=5.1e-3)


def test_counts_and_durations_carry_their_units() -> None:
    assert [count(n) for n in (812, 24_130, 1_210_000)] == ["812", "24.1 k", "1.21 M"]
    assert [seconds(s) for s in (4.2, 221.4, 7320)] == ["4.20 s", "3 min 41 s", "2 h 2 min"]


@pytest.fixture(scope="module")
def browser(require: Callable[[str], Path]) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    quiet = ["quic", "background-networking", "component-update", "sync", "gpu"]
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in quiet)]
    chromium = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(written: Path) -> Path:
    return written / "report.html"


@pytest.fixture(params=[(390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")], ids=lambda p: f"{p[0]}-{p[1]}")
def page(browser: Browser, file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The sample report in a window; closing it checks that nothing was logged and nothing but the file was loaded."""
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    messages: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    yield page
    page.close()
    assert messages == []
    assert [url for url in requests if not url.startswith("data:")] == [file.as_uri()]


def test_the_page_fits_its_window_even_with_the_table_of_layers_open(page: Page) -> None:
    page.locator("summary").click()
    assert page.locator("table.layers").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0


def test_every_picture_is_there_and_large_enough_to_read(page: Page, report: Report) -> None:
    boxes = [svg.bounding_box() for svg in page.locator("figure svg").all()]
    assert len(boxes) == 2 * len(report.targets) + 2
    assert all(box and box["width"] > 300 and box["height"] > 100 for box in boxes)
    blocks = page.locator(".strip .box").all()
    assert len(blocks) == len(report.targets) * sum(not block.spec.free for block in report.blocks)
    assert all(block.is_visible() for block in blocks)


def test_no_two_texts_of_a_picture_overlap(page: Page) -> None:
    overlaps = page.evaluate(OVERLAPPING_TEXTS)
    assert overlaps == []


def test_colours_follow_the_theme(page: Page, request: pytest.FixtureRequest) -> None:
    dark = "dark" in request.node.name
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    text = page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
    assert (brightness(background) < brightness(text)) == dark


def brightness(colour: str) -> int:
    """Of a colour as browsers write it: rgb(27, 31, 36)."""
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])
