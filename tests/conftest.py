"""Parts of the machine that tests need: without one a test is skipped; under MILLIS_REQUIRE_ALL=1 it fails."""

from __future__ import annotations

import ctypes.util
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from profilers import compile_cache
from tests.stand_ins import (
    arm_board,
    kotlin_compiler,
    mediapipe_python,
    onnxruntime_headers,
    tflite_runtime_python,
    webgpu_python,
)

# Networks this small only lose by threads, and tests run beside one another. Before anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A deadline is an assertion about time, and other work runs on the machine. The same examples every time, unless others
# are asked for: whoever changes something else must not be the one who finds the one in a million.
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.register_profile("millis", deadline=None, derandomize=True)
settings.load_profile("millis")

CHECKOUT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Something a test needs that pip does not install; an optional one is never missed."""

    find: Callable[[], str | Path | None]
    install: str
    optional: bool = False


CACHE = os.environ.get("MILLIS_CACHE", "")  # the user's, before a fixture gives tests one of their own


def browser_libraries() -> Path:
    """Installed by our own command; continuous integration, which must have every part, runs it here."""
    from profilers.browser.libraries import install, libraries

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLIS_CACHE", CACHE)
        return install() if os.environ.get("MILLIS_REQUIRE_ALL") == "1" else libraries()


PARTS = {
    "adb": Part(
        find=lambda: shutil.which("adb"),
        install="apt-get install adb",
    ),
    "arm-board": Part(
        find=arm_board.find,
        install="apt-get install debootstrap qemu-user-static; python -m tests.stand_ins.arm_board",
    ),
    "chromium": Part(
        find=lambda: shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"),
        install="apt-get install chromium",
    ),
    "fashion-mnist": Part(
        find=lambda: Path("/usr/share/datasets/fashion-mnist"),
        install="apt-get install dataset-fashion-mnist",
    ),
    "g++": Part(
        find=lambda: shutil.which("g++"),
        install="apt-get install g++",
    ),
    "kotlin-compiler": Part(
        find=kotlin_compiler.find,
        install="apt-get install default-jre-headless npm; python -m tests.stand_ins.kotlin_compiler",
    ),
    "mediapipe": Part(
        find=mediapipe_python.find,
        install="apt-get install libegl1 libgl1 libgles2; python -m tests.stand_ins.mediapipe_python",
    ),
    "sshd": Part(
        find=lambda: Path("/usr/sbin/sshd"),
        install="apt-get install openssh-server",
    ),
    "onnxruntime-headers": Part(
        find=onnxruntime_headers.find,
        install="python -m tests.stand_ins.onnxruntime_headers",
    ),
    "onnxruntime-webgpu": Part(
        find=webgpu_python.find,
        install="python -m tests.stand_ins.webgpu_python",
    ),
    "shared-data": Part(
        find=lambda: CHECKOUT.parent / "shared" / "data",
        install="put published tables into ../shared/data",
        optional=True,
    ),
    "swiftshader": Part(
        find=lambda: ctypes.util.find_library("vulkan") and Path("/usr/lib/chromium/vk_swiftshader_icd.json"),
        install="apt-get install chromium libvulkan1",
    ),
    "tflite-runtime": Part(
        find=tflite_runtime_python.find,
        install="python -m tests.stand_ins.tflite_runtime_python",
    ),
    "web-runtimes": Part(
        find=browser_libraries,
        install="millis setup browser",
    ),
}


@pytest.fixture(scope="session")
def require() -> Callable[[str], Path]:
    """`require("chromium")` is the place of that part of the machine; the test is skipped, or fails, without it."""

    def place_of(name: str) -> Path:
        part = PARTS[name]
        place = part.find()
        if place is not None and Path(place).exists():
            return Path(place)
        message = f"{name} is not on this machine: {part.install}"
        if os.environ.get("MILLIS_REQUIRE_ALL") == "1" and not part.optional:
            pytest.fail(message)
        pytest.skip(message)

    return place_of


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Nothing of the user, nothing that outlives the session; what one test has converted, no other converts again."""
    own, artifacts = tmp_path_factory.mktemp("cache"), _of_all_processes(tmp_path_factory) / "artifacts"
    artifacts.mkdir(exist_ok=True)
    (own / "artifacts").symlink_to(artifacts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLIS_CACHE", str(own))
        yield own


def _of_all_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of pytest-xdist share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def web_runtimes(own_cache: Path, require: Callable[[str], Path]) -> None:
    """Lets whatever looks for the runtimes of browsers find the user's."""
    runtimes = require("web-runtimes")
    (own_cache / "web-runtimes").mkdir()
    (own_cache / "web-runtimes" / runtimes.name).symlink_to(runtimes)


@pytest.fixture(scope="session", autouse=True)
def _conversions_here() -> Iterator[None]:
    """Models are converted in this process, which has imported the converters; a worker of its own takes seconds to.

    There are workers in the tests of the conversions themselves, and in every command that a test starts as a process.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_cache, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
        yield


def pytest_configure() -> None:
    """An interrupt interrupts, also where a shell started the tests with `&` and so has it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup() -> None:
    """What PyTorch draws in a test depends on no test before it: its generator is as a new process has it."""
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(torch.Generator().initial_seed())
