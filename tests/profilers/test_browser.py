"""A browser that measures, a real one: what it measures, who may talk to it, and what becomes of it when it leaves."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profilers.artifact import Artifact, TensorSpec
from profilers.browser import conversation, libraries
from profilers.browser.messages import Opened, Timed, parse_message, printable
from profilers.browser.server import PageServer
from profilers.compile_cache import CompileJob, compile_all
from profilers.devices import browser as browser_device
from profilers.devices import require_device
from profilers.errors import DeviceError, TargetError
from profilers.measurement import Measurement
from profilers.model_files import read_model
from profilers.precision import Precision
from profilers.protocol import Protocol
from profilers.sweep import sweep
from profilers.target import Target
from tests.profilers.conftest import image
from tests.profilers.foreign_models import write_text_model, write_tflite_model

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page, Playwright
    from torch import nn

    from profilers.browser.session import BrowserSession

BRIEF = Protocol(name="brief", rounds=2, max_rounds=2, warmup_runs=1, warmup_ms=0, runs=3, burst_ms=0)
LONG = replace(BRIEF, burst_ms=1500.0, max_runs=100_000)
ONNX = Target(device="browser", runtime="onnxruntime")
WAIT_SECONDS = 60  # for a browser that should have answered long ago
ENVIRONMENT = {
    "user_agent": "Mozilla/5.0",
    "device": "Pixel",
    "cores": 8,
    "isolated": True,
    "backend": "WASM",
    "clock_step_us": 5,
    "shortest_timing_us": 250,
}


class Opening:
    """A session that some page is about to open, in a thread of its own, and what the user is told meanwhile."""

    def __init__(self, target: Target, pool: ThreadPoolExecutor) -> None:
        self.told: SimpleQueue[str] = SimpleQueue()
        self._pool = pool
        self._closed = False
        self._session: Future[BrowserSession] = pool.submit(self._open, target)
        invitation = self.told.get(timeout=WAIT_SECONDS)
        match = re.search(r"http://\S+/", invitation)
        assert match is not None
        self.address = match[0]

    def _open(self, target: Target) -> BrowserSession:
        return browser_device.connect("").open(target, self.told.put)

    @property
    def session(self) -> BrowserSession:
        return self._session.result(WAIT_SECONDS)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.session.close()

    def burst(self, artifact: Artifact, protocol: Protocol = BRIEF) -> Future[Any]:
        return self._pool.submit(self.session.burst, artifact, protocol, 0)

    def wait_for(self, phrase: str) -> None:
        while phrase not in self.told.get(timeout=WAIT_SECONDS):
            pass


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that fails must not wait for as long as a user may need to find the phone."""
    monkeypatch.setattr(conversation, "PATIENCE_SECONDS", WAIT_SECONDS)


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="module")
def launch(
    playwright: Playwright,
    require: Callable[[str], Path],
    web_runtimes: None,  # noqa: ARG001 - the page that is opened needs them
) -> Callable[..., Browser]:
    """Start Chromium with these flags beside those that keep it to itself."""
    quiet = ["quic", "background-networking", "component-update", "sync"]
    arguments = ["--no-sandbox", "--no-first-run", *(f"--disable-{feature}" for feature in quiet)]
    place = require("chromium")
    return lambda *flags: playwright.chromium.launch(executable_path=place, args=[*arguments, *flags])


@pytest.fixture(scope="module")
def chromium(launch: Callable[..., Browser]) -> Iterator[Browser]:
    browser = launch("--disable-gpu")
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def graphic_chromium(launch: Callable[..., Browser]) -> Iterator[Browser]:
    """WebGPU on SwiftShader, a GPU in software that Chromium brings along."""
    vulkan = ["enable-features=Vulkan", "use-vulkan=swiftshader", "use-webgpu-adapter=swiftshader"]
    browser = launch("--enable-unsafe-webgpu", "--ignore-gpu-blocklist", *(f"--{flag}" for flag in vulkan))
    yield browser
    browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """One browser, as servers see it: its tabs share their cookies."""
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    yield context
    context.close()


@pytest.fixture
def opening() -> Iterator[Callable[[Target], Opening]]:
    with ThreadPoolExecutor() as pool:
        openings: list[Opening] = []

        def begin(target: Target) -> Opening:
            openings.append(Opening(target, pool))
            return openings[-1]

        yield begin
        for each in openings:
            each.close()


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_a_sweep_in_a_browser(
    context: BrowserContext, compiled: dict[str, Artifact], runtime: str, tmp_path: Path
) -> None:
    work = {name: compiled[f"{runtime} {name}"] for name in ("conv", "mbconv", "classifier")}
    page, measured = swept(context, work, Target(device="browser", runtime=runtime), tmp_path)
    assert {name: len(each.bursts) for name, each in measured.items()} == dict.fromkeys(work, 2)
    assert all(0 < each.median_ms < 1000 for each in measured.values())
    facts = measured["conv"].environment.facts
    assert facts["runtime_version"] == libraries.library_version(runtime)
    assert facts["isolated"] == "True" and int(facts["shortest_timing_us"]) >= 50 * int(facts["clock_step_us"])
    page.get_by_role("heading", name="Done").wait_for()
    assert page.locator("#rows tr").count() == 3
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0


def swept(
    context: BrowserContext, work: Mapping[str, Artifact], target: Target, folder: Path
) -> tuple[Page, dict[str, Measurement]]:
    """A page that has measured, and what."""
    told: SimpleQueue[str] = SimpleQueue()
    with ThreadPoolExecutor() as pool:
        sweeping = pool.submit(sweep, work, target, BRIEF, folder / "journal.jsonl", notify=told.put)
        page = context.new_page()
        page.goto(re.findall(r"http://\S+/", told.get(timeout=WAIT_SECONDS))[0])
        return page, sweeping.result(WAIT_SECONDS)


def test_a_target_of_int8_measures_files_with_float_edges_of_every_precision(
    context: BrowserContext, modules: dict[str, nn.Module], tmp_path: Path
) -> None:
    jobs = {
        precision: CompileJob("litert", modules["conv"], image("conv"), precision, float_edges=True)
        for precision in get_args(Precision)
    }
    target = Target.parse("browser:litert?precision=int8")
    _, measured = swept(context, compile_all(jobs), target, tmp_path)
    assert set(measured) == set(get_args(Precision)) and all(0 < each.median_ms < 1000 for each in measured.values())


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_a_foreign_model_of_several_inputs_in_a_browser(
    context: BrowserContext, opening: Callable[[Target], Opening], runtime: str, tmp_path: Path
) -> None:
    if runtime == "litert":
        artifact = read_model(write_tflite_model(tmp_path / "m.tflite", count=3))  # LiteRT.js knows no open sizes
    else:
        artifact = read_model(write_text_model(tmp_path / "m.onnx"), {"ids": (2, 9)})
    begun = opening(Target(device="browser", runtime=runtime))
    page = context.new_page()
    page.goto(begun.address)
    assert begun.burst(artifact).result(WAIT_SECONDS).median_ms > 0


@pytest.mark.parametrize("runtime", ["litert", "onnxruntime"])
def test_two_threads_where_the_page_is_isolated(
    context: BrowserContext, compiled: dict[str, Artifact], opening: Callable[[Target], Opening], runtime: str
) -> None:
    begun = opening(Target(device="browser", runtime=runtime, threads=2))
    page = context.new_page()
    page.goto(begun.address)
    assert begun.burst(compiled[f"{runtime} conv"]).result(WAIT_SECONDS).median_ms > 0
    assert page.evaluate("crossOriginIsolated")


@pytest.mark.parametrize(("runtime", "accelerator"), [("litert", "gpu"), ("onnxruntime", "webgpu")])
def test_webgpu_measures_and_names_its_adapter(
    graphic_chromium: Browser,
    compiled: dict[str, Artifact],
    opening: Callable[[Target], Opening],
    runtime: str,
    accelerator: str,
) -> None:
    begun = opening(Target(device="browser", runtime=runtime, accelerator=accelerator))
    page = graphic_chromium.new_page()
    page.goto(begun.address)
    assert begun.burst(compiled[f"{runtime} classifier"]).result(WAIT_SECONDS).median_ms > 0
    assert begun.session.environment.facts["backend"].startswith("WebGPU, google swiftshader")
    page.close()


def test_what_webgpu_cannot_compute_is_refused_not_computed_elsewhere(
    graphic_chromium: Browser, opening: Callable[[Target], Opening], tmp_path: Path
) -> None:
    begun = opening(replace(ONNX, accelerator="webgpu"))
    page = graphic_chromium.new_page()
    page.goto(begun.address)
    with pytest.raises(DeviceError, match=r"fallback to CPU EP has been explicitly disabled"):
        begun.burst(determinant(tmp_path / "model.onnx")).result(WAIT_SECONDS)
    page.close()


def determinant(path: Path) -> Artifact:
    """A model that ONNX Runtime computes on the CPU only."""
    import onnx
    from onnx import TensorProto, helper

    shapes = {"image": (1, 2, 2), "output": (1,)}
    given, made = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph([helper.make_node("Det", ["image"], ["output"])], "determinant", [given], [made])
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)
    first, last = (TensorSpec(name=name, shape=shape, dtype="float32", layout="NC") for name, shape in shapes.items())
    return Artifact.of(path, format="onnx", inputs=(first,), outputs=(last,))


def test_more_threads_than_the_browser_has_cores_are_an_error(context: BrowserContext) -> None:
    with ThreadPoolExecutor() as pool:
        begun = Opening(replace(ONNX, threads=999), pool)
        page = context.new_page()
        page.goto(begun.address)
        with pytest.raises(DeviceError, match="999 threads asked, but this browser has"):
            _ = begun.session
    page.get_by_text("999 threads asked").wait_for()


def test_a_tab_closed_in_a_burst_and_opened_again_goes_on(
    context: BrowserContext, compiled: dict[str, Artifact], opening: Callable[[Target], Opening]
) -> None:
    begun = opening(ONNX)
    first = context.new_page()
    first.goto(begun.address)
    burst = begun.burst(compiled["onnxruntime conv"], LONG)
    first.close()
    begun.wait_for("the page is gone")
    context.new_page().goto(begun.address)
    assert sum(burst.result(WAIT_SECONDS).times_ms) > 0
    begun.wait_for("the page is back")


def test_a_second_tab_waits_for_its_turn(
    context: BrowserContext, compiled: dict[str, Artifact], opening: Callable[[Target], Opening]
) -> None:
    begun = opening(ONNX)
    first, second = context.new_page(), context.new_page()
    first.goto(begun.address)
    _ = begun.session
    second.goto(begun.address)
    second.get_by_text("Another tab is measuring").wait_for()
    first.close()
    second.get_by_role("heading", name="Measuring").wait_for()
    assert begun.burst(compiled["onnxruntime conv"]).result(WAIT_SECONDS).times_ms


def test_a_second_browser_is_refused(
    chromium: Browser, context: BrowserContext, opening: Callable[[Target], Opening]
) -> None:
    begun = opening(ONNX)
    context.new_page().goto(begun.address)
    _ = begun.session
    stranger = chromium.new_page()
    response = stranger.goto(begun.address)
    assert response is not None
    assert (response.status, "works in that one only" in response.text()) == (403, True)
    stranger.close()


def test_a_browser_that_changed_meanwhile_is_not_measured(
    context: BrowserContext, opening: Callable[[Target], Opening]
) -> None:
    begun = opening(ONNX)
    first = context.new_page()
    first.goto(begun.address)
    _ = begun.session
    first.close()
    second = context.new_page()
    second.add_init_script("Object.defineProperty(navigator, 'hardwareConcurrency', { get: () => 64 })")
    second.goto(begun.address)
    second.get_by_text("differs from the one that began").wait_for()


def test_a_burst_in_the_background_does_not_count(
    context: BrowserContext, compiled: dict[str, Artifact], opening: Callable[[Target], Opening]
) -> None:
    begun = opening(ONNX)
    page = context.new_page()
    page.goto(begun.address)
    with page.expect_response("**/models/*"):  # hidden before that, the page would wait to be brought to the front
        burst = begun.burst(compiled["onnxruntime conv"], LONG)
    page.evaluate("""
        Object.defineProperty(document, "hidden", { get: () => true });
        document.dispatchEvent(new Event("visibilitychange"));
    """)
    assert "background" in burst.result(WAIT_SECONDS).disturbed


def test_a_model_that_does_not_load_is_told_in_the_runtime_s_words(
    context: BrowserContext, compiled: dict[str, Artifact], opening: Callable[[Target], Opening], tmp_path: Path
) -> None:
    torn = tmp_path / "torn.onnx"
    torn.write_bytes(compiled["onnxruntime conv"].path.read_bytes()[:100])
    begun = opening(ONNX)
    page = context.new_page()
    page.goto(begun.address)
    with pytest.raises(DeviceError, match=r"^browser:onnxruntime: 9x9x3 → 5x5x8 failed: .*protobuf"):
        begun.burst(replace(compiled["onnxruntime conv"], path=torn)).result(WAIT_SECONDS)
    page.get_by_role("heading", name="Stopped").wait_for()


def test_a_command_that_was_stopped_tells_the_page(
    context: BrowserContext, opening: Callable[[Target], Opening]
) -> None:
    begun = opening(ONNX)
    page = context.new_page()
    page.goto(begun.address)
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        begun.close()
    page.get_by_text("The command on the computer was stopped").wait_for()


def test_garbage_from_the_right_browser_is_refused_and_harms_nothing(
    context: BrowserContext, compiled: dict[str, Artifact], opening: Callable[[Target], Opening]
) -> None:
    begun = opening(ONNX)
    page = context.new_page()
    page.goto(begun.address)
    _ = begun.session
    page.goto(f"{begun.address}page.css")  # the same place without our script
    timed = {"type": "timed", "id": 1, "warmup_ms": [], "times_ms": [0], "disturbed": ""}
    answers = page.evaluate(
        """garbage => new Promise(resolve => {
            const [socket, answers] = [new WebSocket("socket"), []];
            socket.onopen = () => socket.send(garbage);
            socket.onmessage = ({ data }) => answers.push(JSON.parse(data).do);
            socket.onclose = () => resolve(answers);
        })""",
        json.dumps(timed),
    )
    assert answers == ["open", "refuse"]
    page.goto(begun.address)
    assert begun.burst(compiled["onnxruntime conv"]).result(WAIT_SECONDS).times_ms


def test_whoever_lacks_the_token_or_the_cookie_gets_403(
    context: BrowserContext, opening: Callable[[Target], Opening]
) -> None:
    begun = opening(ONNX)
    origin, token = begun.address.rstrip("/").rsplit("/", 1)
    wrong = ("", "wrong/", f"wrong/{token}/", f"{token}x/", "wrong/socket", "wrong/models/00", "wrong/main.js")
    assert {place: status(f"{origin}/{place}") for place in wrong} == dict.fromkeys(wrong, 403)
    assert status(begun.address, Host="evil.example") == 403
    assert status(f"{begun.address}socket", Origin="http://evil.example", Cookie="millis=1") == 403
    context.new_page().goto(begun.address)
    _ = begun.session
    assert status(f"{begun.address}main.js") == 403
    assert status(f"{begun.address}main.js", Cookie="millis=guessed") == 403


def test_only_what_the_page_needs_is_served(context: BrowserContext, opening: Callable[[Target], Opening]) -> None:
    begun = opening(ONNX)
    page = context.new_page()
    page.goto(begun.address)
    _ = begun.session
    places = ("package.json", "libraries/../../../etc/passwd", "models/..%2f..%2fx", "libraries/package.json")
    script = "places => Promise.all(places.map(place => fetch(place).then(response => response.status)))"
    page.goto(f"{begun.address}page.css")
    assert set(page.evaluate(script, list(places))) <= {403, 404}
    assert page.evaluate(script, ["libraries/onnxruntime-web/dist/ort.wasm.min.mjs"]) == [200]
    page.goto(begun.address)


def test_nothing_listens_beyond_loopback(context: BrowserContext, opening: Callable[[Target], Opening]) -> None:
    begun = opening(ONNX)
    port = int(begun.address.split(":")[2].split("/")[0])
    assert ("0100007F", port) in listening()
    assert {address for address, _ in listening()} == {"0100007F"}
    context.new_page().goto(begun.address)


def test_whoever_comes_at_the_very_end_leaves_nothing_open(tmp_path: Path) -> None:
    server = PageServer(tmp_path, {"target": "browser:litert"}, lambda told: None, lan=False)
    with ThreadPoolExecutor(1) as pool:
        callers = pool.submit(call_until_refused, server.port)
        while not server._runner.server.connections:  # type: ignore[union-attr]
            pass
        server.close("")
    assert callers.result() > 0
    del server
    gc.collect()  # of what is still open now there is a warning


def call_until_refused(port: int) -> int:
    """How many connections there were."""
    count = 0
    with contextlib.ExitStack() as open_sockets, contextlib.suppress(OSError):
        while True:
            open_sockets.enter_context(socket.create_connection(("127.0.0.1", port), timeout=1))
            count += 1
    return count


def listening() -> set[tuple[str, int]]:
    """Address, as the kernel writes it, and port of every socket on which this process listens."""
    mine = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            mine.add(str(descriptor.readlink()))
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    places = [row[1].rsplit(":", 1) for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in mine]
    return {(address, int(port, 16)) for address, port in places}


def status(address: str, **headers: str) -> int:
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.netloc, timeout=WAIT_SECONDS)
    try:
        connection.request("GET", place.path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def timed_message(**changes: object) -> str:
    return json.dumps({"type": "timed", "id": 1, "warmup_ms": [1.5], "times_ms": [0.5], "disturbed": ""} | changes)


def test_a_page_that_keeps_to_its_part_is_understood() -> None:
    assert parse_message(timed_message()) == Timed(type="timed", id=1, warmup_ms=(1.5,), times_ms=(0.5,), disturbed="")
    opened = parse_message(json.dumps({"type": "opened", "environment": ENVIRONMENT, "state": {"page": "visible"}}))
    assert isinstance(opened, Opened)
    assert opened.environment.facts()["cores"] == "8"


@pytest.mark.parametrize("time", [0, -1, nan, inf, 1e12, "1", None, True, [1]])
def test_a_time_that_is_none_never_gets_through(time: object) -> None:
    for field in ("times_ms", "warmup_ms"):
        with pytest.raises(ValueError, match="validation error"):
            parse_message(timed_message(**{field: [time]}))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["type", "id", "times_ms", "warmup_ms", "disturbed", "x"]),
                inner | st.sampled_from(["timed", "opened"]),
            )
        ),
    )
)
def test_whatever_a_page_says_is_understood_or_refused(value: object) -> None:
    try:
        message = parse_message(json.dumps(value))
    except ValueError:
        return
    assert not isinstance(message, Timed) or all(0 < time < inf for time in message.times_ms)


def test_what_a_page_says_of_itself_cannot_command_a_terminal() -> None:
    assert printable("\x1b[2JPixel\n\t8\u202e") == "[2JPixel 8"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("litert?cores=little", "nothing can be pinned"),
        ("litert?precision=int8", "takes no int8 inputs"),
        ("onnxruntime?accelerator=cuda", "no accelerator 'cuda'; there are: cpu, webgpu"),
        ("pytorch", "there is no pytorch; there are: litert, onnxruntime"),
    ],
)
def test_what_no_page_can_measure_is_refused_before_one_is_asked_for(options: str, message: str) -> None:
    target = Target.parse(f"browser:{options}")
    with pytest.raises(TargetError, match=message):
        require_device(target)


def test_an_address_is_the_local_network_or_none() -> None:
    with pytest.raises(TargetError, match="write browser, or browser:lan"):
        browser_device.connect("192.168.1.7")


def test_without_npm_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"npm is not on this machine: .*apt-get install npm"):
        libraries.install()
    with pytest.raises(TargetError, match=r"not installed: .*millis setup browser"):
        require_device(Target.parse("browser:litert"))


def test_what_npm_refuses_is_told_in_its_words_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text("#!/bin/sh\necho 'npm error code EINTEGRITY' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent), prepend=os.pathsep)
    monkeypatch.setenv("MILLIS_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DeviceError, match="npm ci failed with status 1: code EINTEGRITY"):
        libraries.install()
    assert list(libraries.libraries().parent.iterdir()) == []


def test_shapes_read_the_same_in_every_layout() -> None:
    from profilers.browser.session import shape_text

    nchw = TensorSpec(name="x", shape=(1, 3, 8, 9), dtype="float32", layout="NCHW")
    nhwc = TensorSpec(name="x", shape=(1, 8, 9, 3), dtype="float32", layout="NHWC")
    assert (shape_text(nchw), shape_text(nhwc)) == ("8x9x3", "8x9x3")
