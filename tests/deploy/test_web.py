"""The bundle for browsers, in a real one: what it answers, how it shows it, and that it needs no network twice."""

from __future__ import annotations

import base64
import contextlib
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from deploy import golden
from deploy.bundle import Bundle
from deploy.packagers import pack
from deploy.packagers.web import library_files
from deploy.verify import verify
from profilers.errors import DeviceError
from profilers.runtimes import load_runtime
from tests.deploy.small_networks import LABELS, MEAN, STD, Small, candidate, contents, small

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

RUNTIMES = ("litert", "onnxruntime")
PHONE = {"device": "Pixel 9", "user_agent": "Chrome 140"}
KEPT = "From now on this page works without a network, too."
RESIZED = """async ([picture, spec]) => {
    const { pixelsOf, resized } = await import(new URL("page/image.js", document.baseURI));
    const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
    return resized(pixelsOf(image), spec).map((plane) => Array.from(plane));
}"""


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return small(1, tmp_path_factory.mktemp("grey"), *(f"{runtime}-fp32" for runtime in RUNTIMES))


def packed(network: Small, runtime: str, folder: Path, **changes: Any) -> Bundle:
    measured = candidate(network.variants[f"{runtime}-fp32"], (f"browser:{runtime}?threads=2", 0.42, PHONE))
    return pack("web", replace(contents(network, measured), **changes), folder)


@pytest.fixture(scope="module")
def bundles(
    web_runtimes: None,  # noqa: ARG001 - packing looks for them
    grey: Small,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Bundle]:
    """By runtime."""
    return {runtime: packed(grey, runtime, tmp_path_factory.mktemp(runtime)) for runtime in RUNTIMES}


@contextlib.contextmanager
def serving(folder: Path, *command: str) -> Iterator[str]:
    """The address at which the bundle's own server, or another one, serves a folder."""
    words = [sys.executable, "-u", *(command or ("serve.py", "--port", "0"))]
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://[^/]+/", process.stdout.readline())
            assert found is not None
            yield found[0]
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def addresses(bundles: dict[str, Bundle]) -> Iterator[dict[str, str]]:
    with contextlib.ExitStack() as servers:
        yield {name: servers.enter_context(serving(bundle.folder)) for name, bundle in bundles.items()}


@pytest.fixture(scope="module")
def chromium(require: Callable[[str], Path]) -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    quiet = ["quic", "background-networking", "component-update", "sync", "gpu"]
    camera = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in quiet), *camera]
    place = require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=place, args=arguments)
        yield browser
        browser.close()


@contextlib.contextmanager
def visitor(chromium: Browser) -> Iterator[BrowserContext]:
    """Somebody who was never here; at the end nothing was wrong, and nothing was asked of any other server."""
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    problems: list[str] = []
    requests: list[str] = []
    context.on("weberror", lambda error: problems.append(str(error.error)))
    context.on("console", lambda message: problems.extend(told(message)))
    context.on("request", lambda request: requests.append(request.url))
    yield context
    context.close()
    assert problems == []
    assert all(re.match(r"(http://(localhost|127\.0\.0\.1):\d+/|blob:|data:)", url) for url in requests), requests


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    with visitor(chromium) as context:
        yield context


@pytest.fixture(scope="module")
def pages(chromium: Browser, addresses: dict[str, str]) -> Iterator[dict[str, Page]]:
    """By runtime, one for all tests that need no new visitor."""
    with visitor(chromium) as context:
        yield {runtime: visit(context, address) for runtime, address in addresses.items()}


def told(message: ConsoleMessage) -> list[str]:
    """An error that the page tells. LiteRT.js writes every note there, INFO or WARNING first."""
    noise = message.text.startswith(("INFO: ", "WARNING: "))
    return [message.text] if message.type == "error" and not noise else []


def visit(context: BrowserContext, address: str) -> Page:
    """The page once it has classified its example."""
    page = context.new_page()
    page.goto(address)
    page.get_by_text("Shown: example.png.").wait_for()
    return page


def show_example(page: Page) -> None:
    page.get_by_role("button", name="Show the example").click()  # what was shown before is no longer said from here on
    page.get_by_text("Shown: example.png.").wait_for()


def answers(page: Page) -> dict[str, float]:
    """Label -> probability in percent, as the page shows them."""
    texts = page.locator("#answers .answer").all_inner_texts()
    return {label: float(percent.removesuffix(" %")) for label, percent in (text.split("\n") for text in texts)}


def expected_answers(outputs: np.ndarray) -> dict[str, float]:
    """The five best of probabilities [classes]."""
    return {LABELS[i]: 100 * float(outputs[i]) for i in np.argsort(-outputs)[:5]}


def as_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def photograph() -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return np.array(load_sample_image("china.jpg"))


def pillow(pixels: np.ndarray, *, channels: int, width: int, height: int) -> np.ndarray:
    """What training sees of an image: [C, height, width]."""
    image = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    fitted = ImageOps.fit(image, (width, height), method=Image.Resampling.BILINEAR)
    return np.asarray(fitted, dtype=np.int16).reshape(height, width, channels).transpose(2, 0, 1)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_says_of_its_example_what_the_golden_outputs_say(
    bundles: dict[str, Bundle], pages: dict[str, Page], runtime: str
) -> None:
    model = bundles[runtime].manifest.model
    outputs = golden.read_tensor(bundles[runtime].folder, model.golden.outputs)
    if model.answers == "logits":
        outputs = golden.softmax(outputs)
    show_example(pages[runtime])
    assert answers(pages[runtime]) == pytest.approx(expected_answers(outputs[0]), abs=0.11)
    assert "2 threads" in pages[runtime].locator("#facts").inner_text()


def test_a_photograph_is_classified_as_by_the_network_on_what_pillow_makes_of_it(
    grey: Small, pages: dict[str, Page]
) -> None:
    page = pages["litert"]
    page.set_input_files("#file", {"name": "china.png", "mimeType": "image/png", "buffer": as_png(photograph())})
    page.get_by_text("Shown: china.png.").wait_for()
    pixels = pillow(photograph(), channels=1, width=8, height=8)
    images = ((pixels[None] / 255 - MEAN) / STD).astype(np.float32)
    outputs = load_runtime("litert").run(grey.variants["litert-fp32"].artifact, images)
    assert answers(page) == pytest.approx(expected_answers(outputs[0]), abs=1)


def test_what_is_asked_for_while_the_model_is_busy_is_told_at_once(pages: dict[str, Page]) -> None:
    page = pages["litert"]
    told = page.evaluate("""() => {
        document.getElementById("measure").click();
        document.getElementById("example").click();
        return document.getElementById("status").textContent;
    }""")
    assert told == "Opening example.png."
    page.get_by_text("Shown: example.png.").wait_for()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("width", "height"), [(427, 640), (640, 427), (28, 28), (9, 200), (5, 4)], ids=str)
def test_the_page_resizes_as_pillow_does_to_one_grey_level(
    pages: dict[str, Page], channels: int, width: int, height: int
) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    spec = {"channels": channels, "width": 28, "height": 20}
    found = pages["onnxruntime"].evaluate(RESIZED, [base64.b64encode(as_png(pixels)).decode(), spec])
    assert np.abs(np.array(found).reshape(channels, 20, 28) - pillow(pixels, **spec)).max() <= 1


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_it_works_without_a_server_after_the_first_visit(
    context: BrowserContext, bundles: dict[str, Bundle], runtime: str
) -> None:
    with serving(bundles[runtime].folder) as address:
        page = visit(context, address)
        page.get_by_text(KEPT).wait_for()
        first = answers(page)
        page.close()
    page = visit(context, f"{address}?verify")
    assert answers(page) == first
    page.get_by_text(re.compile(r"^\d+ checks passed\.$")).wait_for()


def test_a_newer_bundle_takes_the_place_of_the_older(
    context: BrowserContext, bundles: dict[str, Bundle], grey: Small, tmp_path: Path
) -> None:
    with serving(bundles["onnxruntime"].folder) as address:
        visit(context, address).get_by_text(KEPT).wait_for()
    newer = packed(grey, "onnxruntime", tmp_path, name="newer")
    port = address.rstrip("/").rpartition(":")[2]
    with serving(newer.folder, "serve.py", "--port", port):
        page = visit(context, address)
        page.get_by_text("A newer version is here: reload the page.").wait_for()
        page.reload()
        page.get_by_role("heading", name="newer").wait_for()


def test_it_shows_its_latency_beside_the_promised_one(pages: dict[str, Page]) -> None:
    page = pages["litert"]
    page.get_by_text(re.compile(r"^Median of [\d,]+ timings on this page, 2 threads, clock step \d+ µs\.$")).wait_for()
    assert re.fullmatch(r"\d+(\.\d+)? ms", page.locator("#here").inner_text())
    assert page.locator("#promised").inner_text() == "0.420 ms"
    assert "browser:litert?threads=2 (Pixel 9, Chrome 140)" in page.locator("#promised-how").inner_text()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_check_passes_on_what_was_shipped(pages: dict[str, Page], runtime: str) -> None:
    pages[runtime].get_by_role("button", name="Check").click()
    pages[runtime].get_by_text("11 checks passed.").wait_for()
    assert pages[runtime].locator("#checks li").count() == 11


@pytest.mark.slow
@pytest.mark.usefixtures("web_runtimes")
@pytest.mark.parametrize("name", [f"{runtime}-{precision}" for runtime in RUNTIMES for precision in ("fp16", "int8")])
def test_every_precision_gives_its_golden_outputs_in_a_browser(
    context: BrowserContext, tmp_path: Path, name: str
) -> None:
    network = small(1, tmp_path, name)
    variant = network.variants[name]
    measured = candidate(variant, (f"browser:{variant.runtime}", 0.42, PHONE))
    with serving(pack("web", contents(network, measured), tmp_path).folder) as address:
        visit(context, f"{address}?verify").get_by_text("11 checks passed.").wait_for()


def test_damage_is_found_and_named(context: BrowserContext, bundles: dict[str, Bundle], tmp_path: Path) -> None:
    folder = tmp_path / "web"
    shutil.copytree(bundles["onnxruntime"].folder, folder)
    outputs = bundles["onnxruntime"].manifest.model.golden.outputs.path
    damaged = golden.read_tensor(folder, bundles["onnxruntime"].manifest.model.golden.outputs).copy()
    damaged[2, 0] += 1
    (folder / outputs).write_bytes(golden.to_bytes(damaged))
    with serving(folder) as address:
        page = visit(context, f"{address}?verify")
        page.get_by_text("2 of 11 checks failed: this is not what was shipped.").wait_for()
        failed = page.locator("#checks .problem").all_inner_texts()
    assert [line.split(":")[0] for line in failed] == [f"✗ {outputs}", "✗ Golden image 3"]


def test_the_camera_is_classified_until_it_is_stopped(pages: dict[str, Page]) -> None:
    page = pages["onnxruntime"]
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_text("The camera is on.").wait_for()
    page.evaluate("document.querySelector('#answers').replaceChildren()")
    page.locator("#answers li").first.wait_for()
    page.get_by_role("button", name="Stop the camera").click()
    page.get_by_text("The camera is off.").wait_for()
    assert page.get_by_role("button", name="Use the camera").get_attribute("aria-pressed") == "false"


def test_a_frame_that_waits_for_the_model_when_the_camera_stops_is_let_go(pages: dict[str, Page]) -> None:
    page = pages["onnxruntime"]
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_text("The camera is on.").wait_for()
    page.get_by_role("button", name="Measure again").click()
    page.get_by_text("Measuring: one second.").wait_for()
    page.evaluate("new Promise((next) => requestAnimationFrame(() => requestAnimationFrame(next)))")
    page.get_by_role("button", name="Stop the camera").click()
    page.evaluate("document.querySelector('#checks').replaceChildren()")
    page.get_by_role("button", name="Check").click()
    page.locator("#checks li").first.wait_for()  # and before it all that waited
    assert page.locator("#status").inner_text() == "The camera is off."


def test_a_file_that_is_no_image_is_told_so_and_harms_nothing(pages: dict[str, Page]) -> None:
    page = pages["onnxruntime"]
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"})
    page.get_by_text("This browser cannot read notes.txt as an image").wait_for()
    show_example(page)


def test_any_server_will_do_with_one_thread(context: BrowserContext, bundles: dict[str, Bundle]) -> None:
    with serving(bundles["litert"].folder, "-m", "http.server", "--bind", "127.0.0.1", "0") as address:
        page = visit(context, address)
        assert not page.evaluate("crossOriginIsolated")
        assert "1 thread" in page.locator("#facts").inner_text()
        assert len(answers(page)) == 5
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page_fits_its_window_and_follows_the_theme(pages: dict[str, Page], width: int, scheme: Any) -> None:
    page = pages["onnxruntime"]
    page.set_viewport_size({"width": width, "height": 844})
    page.emulate_media(color_scheme=scheme)
    style = "getComputedStyle(document.body)"
    colour, background = page.evaluate(f"[{style}.color, {style}.backgroundColor]")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    assert (brightness(background) < brightness(colour)) == (scheme == "dark")


def brightness(colour: str) -> int:
    """Of a colour as browsers write it: rgb(27, 31, 36)."""
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3])


def test_everything_can_be_reached_and_is_named(pages: dict[str, Page]) -> None:
    page = pages["litert"]
    show_example(page)
    page.locator("h1").click()  # from where the keyboard begins
    names = ["Choose an image", "Use the camera", "Show the example", "Measure again", "Check"]
    reached = []
    for _ in names:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("(document.activeElement.labels?.[0] ?? document.activeElement).innerText"))
    assert reached == names
    assert page.get_by_role("img", name=re.compile(r"^Classified as digit \d, [\d.]+ %$")).count() == 1


def test_its_own_server_isolates_the_page_and_listens_to_this_machine_only(
    context: BrowserContext, addresses: dict[str, str]
) -> None:
    response = context.request.get(f"{addresses['litert']}page/main.js")
    assert response.headers["cross-origin-opener-policy"] == "same-origin"
    assert response.headers["cross-origin-embedder-policy"] == "require-corp"
    assert response.headers["content-type"] == "text/javascript"
    assert listening(int(addresses["litert"].rstrip("/").rpartition(":")[2])) == ["0100007F"]


def listening(port: int) -> list[str]:
    """The addresses, as the kernel writes them, at which something on this machine listens to a port."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    places = [row[1].rsplit(":", 1) for row in rows if row[3] == "0A"]
    return [address for address, found in places if int(found, 16) == port]


def test_it_verifies_and_packs_to_the_same_bytes(bundles: dict[str, Bundle], grey: Small, tmp_path: Path) -> None:
    assert verify(bundles["litert"].folder).complete
    again = packed(grey, "litert", tmp_path)
    assert again.archive.read_bytes() == bundles["litert"].archive.read_bytes()


def test_browsers_see_a_new_version_where_anything_differs(
    bundles: dict[str, Bundle], grey: Small, tmp_path: Path
) -> None:
    changes: Sequence[dict[str, Any]] = ({"labels": LABELS[::-1]}, {"max_accuracy_drop": 1.0})
    others = [packed(grey, "litert", tmp_path / str(i), **change) for i, change in enumerate(changes)]
    scripts = [(bundle.folder / "sw.js").read_text() for bundle in (bundles["litert"], *others)]
    assert len(set(scripts)) == 3
    assert len({script.partition("\n")[2] for script in scripts}) == 1


def test_only_what_the_model_needs_of_its_runtime_is_shipped(bundles: dict[str, Bundle]) -> None:
    model = bundles["litert"].manifest.model
    alone = replace(model, measured=(replace(model.measured[0], threads=1),))
    assert {name for name in library_files(model) if name not in library_files(alone)} == {
        f"@litertjs/core/wasm/litert_wasm_threaded_internal.{kind}" for kind in ("js", "wasm")
    }
    assert library_files(replace(model, measured=())) == library_files(alone)
    assert not any("litert" in name for name in library_files(bundles["onnxruntime"].manifest.model))


@pytest.mark.usefixtures("web_runtimes")
def test_of_two_runtimes_only_the_better_one_is_shipped(grey: Small, tmp_path: Path) -> None:
    both = [candidate(grey.variants[f"{name}-fp32"], (f"browser:{name}", 0.4, PHONE)) for name in RUNTIMES]
    bundle = pack("web", contents(grey, *both), tmp_path)
    assert [model.runtime for model in bundle.manifest.models] == ["litert"]
    assert all("litert-fp32" in left.reason for left in bundle.manifest.left_out)
    assert [left.runtime for left in bundle.manifest.left_out] == ["onnxruntime"]


def test_without_the_runtime_the_error_names_the_command(
    grey: Small, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path / "none"))
    with pytest.raises(DeviceError, match=r"^the browser's runtimes are not installed: millis setup browser$"):
        packed(grey, "litert", tmp_path)
    assert not (tmp_path / "web").exists()
