"""`benchmark_model` on a phone: where it lies, which of the two tools it is, what it is told."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from profilers.android.adb_link import AdbLink
from profilers.android.benchmark_model import ToolFlags, read_flags
from profilers.android.files import FOLDER, PhoneFiles
from profilers.check import Check
from profilers.errors import DeviceError
from profilers.files import sha256_of
from profilers.protocol import Protocol
from profilers.target import Target

TOOL_VARIABLE = "MILLIS_BENCHMARK_MODEL"
# As TensorFlow's page on performance measurement links to; LiteRT's tool: ai.google.dev/edge/litert/next/benchmark.
_NIGHTLY = "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest"
GET_TOOL = (
    f"curl -O {_NIGHTLY}/android_aarch64_benchmark_model; export {TOOL_VARIABLE}=$PWD/android_aarch64_benchmark_model"
)

_NAMES = ("benchmark_model", "litert_benchmark_model", "android_aarch64_benchmark_model", "android_arm_benchmark_model")
_RAMP_SECONDS = 0.1  # a phone's clock rises only under load, and takes its time
_PHASE_SECONDS = 120.0  # warming up ends after these, and so does timing, however slow the model


def tool_check() -> Check:
    """Whether this machine has a tool to bring to phones."""
    named = os.environ.get(TOOL_VARIABLE)
    if named and Path(named).is_file():
        return Check(name="profile adb:litert", ok=True, found=named)
    lacking = f"{TOOL_VARIABLE}={named}: no such file" if named else f"{TOOL_VARIABLE} is not set"
    found = f"{lacking}; phones with a benchmark_model in /data/local/tmp can be measured"
    return Check(name="profile adb:litert", ok=False, found=found, mend=GET_TOOL)


def find_tool(link: AdbLink, files: PhoneFiles) -> str:
    """Its place on the phone, brought there where this machine has one; raises DeviceError where there is none."""
    named = _named()
    place = _found(link) if named is None else files.place(named, sha256_of(named), ".benchmark_model")
    link.require("chmod", "755", place)
    return place


def require_tool(link: AdbLink) -> None:
    """Raise DeviceError where a session would find no tool; brings nothing to the phone."""
    if _named() is None:
        _found(link)


def known_flags(link: AdbLink, tool: str) -> ToolFlags:
    _, text = link.shell(shlex.join([tool, "--help"]))
    try:
        return read_flags(text)
    except DeviceError as error:
        raise DeviceError(f"{link}: {tool}: {error}; get it with: {GET_TOOL}") from None


def target_flags(known: ToolFlags, target: Target) -> list[str]:
    """What of a target the tool is told. Raises DeviceError for a GPU where it knows nothing of one."""
    wanted = _gpu_flags(known, target) if target.accelerator == "gpu" else _cpu_flags(known)
    return [*wanted, f"--num_threads={target.threads}"]


def length_flags(protocol: Protocol) -> list[str]:
    """How long the tool warms up and times: what the protocol asks, and time for the clock to rise."""
    return [
        f"--warmup_runs={protocol.warmup_runs}",
        f"--warmup_min_secs={max(protocol.warmup_ms / 1000, _RAMP_SECONDS):g}",
        f"--num_runs={protocol.runs}",
        f"--min_secs={protocol.burst_ms / 1000:g}",
        f"--max_secs={_phase_seconds(protocol):g}",
    ]


def patience_seconds(protocol: Protocol) -> float:
    """How long the tool may take: two phases, each of which may end with a long inference, and loading."""
    return 3 * _phase_seconds(protocol)


def _named() -> Path | None:
    """The tool on this machine; raises DeviceError where one is named that is not there."""
    named = os.environ.get(TOOL_VARIABLE)
    if named and not Path(named).is_file():
        raise DeviceError(f"{TOOL_VARIABLE}={named}: no such file; get it with: {GET_TOOL}")
    return Path(named) if named else None


def _found(link: AdbLink) -> str:
    candidates = shlex.join(f"{folder}/{name}" for folder in (FOLDER, "/data/local/tmp") for name in _NAMES)
    _, found = link.shell(
        f"for tool in {candidates} {FOLDER}/*.benchmark_model",
        'do [ -f "$tool" ] && echo "$tool"',
        "done",
        timeout_s=10,
    )
    if not found.strip():
        raise DeviceError(f"{link}: there is no benchmark_model in its /data/local/tmp; get it with: {GET_TOOL}")
    return found.strip().splitlines()[0]


def _cpu_flags(known: ToolFlags) -> list[str]:
    """XNNPACK, which the oldest tools do not know."""
    flag = "use_cpu" if known.tool == "litert" else "use_xnnpack"
    return [f"--{flag}=true"] if flag in known.names else []


def _gpu_flags(known: ToolFlags, target: Target) -> list[str]:
    """The whole graph on the GPU; fp32 is computed as such, which is not what the tools do by themselves."""
    exact = target.precision == "fp32"
    if known.tool == "litert":
        wanted = {"use_cpu": "false", "require_full_delegation": "true", "gpu-precision": "fp32" if exact else "fp16"}
    else:
        wanted = {"gpu_precision_loss_allowed": str(not exact).lower()}
    wanted |= {"use_gpu": "true"}
    if lacking := sorted(wanted.keys() - known.names):
        raise DeviceError(
            f"{target}: this benchmark_model has no --{', --'.join(lacking)}; get one that has with: {GET_TOOL}"
        )
    return [f"--{name}={value}" for name, value in sorted(wanted.items())]


def _phase_seconds(protocol: Protocol) -> float:
    return max(_PHASE_SECONDS, 2 * protocol.burst_ms / 1000)
