"""The timing agent: loads a compiled model, runs it, tells how long each inference took.

One self-contained file for the machine that is measured: Python 3.8 or newer, numpy and the runtime. It reads one JSON
request a line on stdin and answers one JSON object a line on stdout:

    {"do": "open", "runtime": "litert", "accelerator": "cpu",
     "threads": 1, "cores": "big"}                                       -> {"environment": {…}, "state": {…}}
    {"do": "find", "name": "3f….tflite"}                                 -> {"path": "…"}, or null without it
    {"do": "keep", "name": "3f….tflite", "base64": "…"}                  -> {"path": "…"}
    {"do": "burst", "path": "m.tflite", "warmup_runs": 3, "warmup_ms": 5,
     "runs": 10, "burst_ms": 20, "max_runs": 300}                        -> {"warmup_ns": […], "times_ns": […],
                                                                             "disturbed": ""}
    {"do": "state"}                                                      -> {"state": {…}}

Anything that goes wrong is answered as {"error": "…"}. The process pins itself to as many cores as it has threads
before the runtime is loaded, collects no garbage while timing, and times on random data. A file that was kept has its
SHA-256 as its name, and is checked against it.
"""

from __future__ import annotations

import base64
import gc
import glob
import hashlib
import json
import os
import platform
import sys
import time
from typing import Any, Callable, Iterable

import numpy as np

# Raised whenever times of two versions should not be pooled.
# 1: first version
# 2: tells the cores' maximum frequencies and pins to the fastest cores
VERSION = 2


ONNX_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
}


class OnnxModel:
    """An ONNX model with its input and output bound, so that a run copies nothing."""

    def __init__(self, path: str, threads: int, accelerator: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        given = self._session.get_inputs()[0]
        self.input_shape = tuple(given.shape)
        self.input_dtype = ONNX_DTYPES[given.type]

    @staticmethod
    def version() -> str:
        import onnxruntime

        return str(onnxruntime.__version__)

    def feed(self, array: np.ndarray) -> None:
        self._array = array  # the binding does not keep it alive
        self._binding.bind_cpu_input(self._session.get_inputs()[0].name, array)
        self._binding.bind_output(self._session.get_outputs()[0].name)

    def invoke(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def result(self) -> np.ndarray:
        output: np.ndarray = self._binding.copy_outputs_to_cpu()[0]
        return output


class LiteRTModel:
    """A LiteRT (TensorFlow Lite) model on the CPU, by whichever interpreter package is installed."""

    def __init__(self, path: str, threads: int, accelerator: str) -> None:
        self._interpreter = self._package().Interpreter(model_path=path, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self.input_shape = tuple(int(size) for size in self._input["shape"])
        self.input_dtype = np.dtype(self._input["dtype"]).name

    @staticmethod
    def _package() -> Any:
        try:
            from ai_edge_litert import interpreter
        except ImportError:
            from tflite_runtime import interpreter
        return interpreter

    @classmethod
    def version(cls) -> str:
        from importlib import metadata

        name = cls._package().__name__.split(".")[0].replace("_", "-")
        return f"{name} {metadata.version(name)}"

    def feed(self, array: np.ndarray) -> None:
        self._interpreter.set_tensor(self._input["index"], array)

    def invoke(self) -> None:
        self._interpreter.invoke()

    def result(self) -> np.ndarray:
        output: np.ndarray = self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])
        return output


MODELS: dict[str, type[OnnxModel | LiteRTModel]] = {"onnxruntime": OnnxModel, "litert": LiteRTModel}


def time_runs(
    invoke: Callable[[], None],
    runs: int,
    min_ms: float,
    max_runs: int,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[int]:
    """Nanoseconds of each call of `invoke`: at least `runs` calls and `min_ms`, at most `max_runs` calls."""
    times: list[int] = []
    begin = clock()
    while len(times) < max_runs and (len(times) < runs or clock() - begin < min_ms * 1e6):
        start = clock()
        invoke()
        times.append(clock() - start)
    return times


def burst(load: Callable[[str], OnnxModel | LiteRTModel], cores: list[int], request: dict[str, Any]) -> dict[str, Any]:
    """Load, warm up, time: everything from a fresh load, so that one burst owes nothing to another."""
    model = load(request["path"])
    model.feed(noise(model.input_shape, model.input_dtype))
    gc.collect()
    gc.disable()
    try:
        warmup = time_runs(model.invoke, request["warmup_runs"], request["warmup_ms"], request["max_runs"])
        before = clocks(cores)
        times = time_runs(model.invoke, request["runs"], request["burst_ms"], request["max_runs"])
        after = clocks(cores)
    finally:
        gc.enable()
    return {"warmup_ns": warmup, "times_ns": times, "disturbed": disturbance(before, after)}


def noise(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Random data, the same on every call: zeros and denormals take other times than numbers do."""
    random = np.random.RandomState(0)
    if dtype in ("int8", "uint8"):
        limits = np.iinfo(dtype)
        return random.randint(limits.min, limits.max + 1, size=shape).astype(dtype)
    return random.standard_normal(shape).astype(dtype)


def clocks(cores: list[int]) -> dict[str, int]:
    """What tells that the clock of a measured core was changed: its frequency, and how often heat held it back."""
    folder = "/sys/devices/system/cpu/cpu{}/{}"
    names = ("cpufreq/scaling_cur_freq", "thermal_throttle/core_throttle_count")
    found = {f"core {core} {name}": read(folder.format(core, name)) for core in cores for name in names}
    return {name: int(text) for name, text in found.items() if text.isdigit()}


def disturbance(before: dict[str, int], after: dict[str, int]) -> str:
    """Why a burst cannot count, empty where it can: a frequency that moved by a tenth, any throttling for heat."""
    changes = [
        f"{name} {old} to {after[name]}"
        for name, old in sorted(before.items())
        if name in after and abs(after[name] - old) > (0.1 * old if name.endswith("freq") else 0)
    ]
    return "; ".join(changes)


def pin(threads: int, choice: str) -> list[int]:
    """Pin this process to `threads` cores: the fastest ("big"), the slowest ("little"), or none ("any").

    Of equally fast cores the last ones are taken: the first serve interrupts. Returns those cores; none where the
    system pins no process.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0), key=lambda core: (max_frequency_khz(core), core))
    if threads > len(cores):
        raise ValueError(f"{threads} threads asked, but only {len(cores)} cores are available")
    if choice == "any":
        return []
    chosen = sorted(cores[-threads:] if choice == "big" else cores[:threads])
    os.sched_setaffinity(0, chosen)
    return chosen


def max_frequency_khz(core: int) -> int:
    """0 where the system does not tell."""
    return int(read(f"/sys/devices/system/cpu/cpu{core}/cpufreq/cpuinfo_max_freq") or 0)


def environment(runtime: str, model_class: type[OnnxModel | LiteRTModel], cores: list[int]) -> dict[str, str]:
    """What must agree before two measurements may stand in one table."""
    measured_core = cores[0] if cores else 0
    frequencies = [max_frequency_khz(core) for core in range(os.cpu_count() or 1)]
    return {
        "agent": str(VERSION),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": str(os.cpu_count()),
        "max_frequencies_khz": ",".join(map(str, frequencies)) if any(frequencies) else "not exposed",
        "os": f"{platform.system()} {platform.release()}",
        "governor": read(f"/sys/devices/system/cpu/cpu{measured_core}/cpufreq/scaling_governor") or "not exposed",
        "affinity": ",".join(map(str, cores)) or "not pinned",
        "runtime": runtime,
        "runtime_version": model_class.version(),
    }


def state() -> dict[str, str]:
    """What changes from moment to moment, told with every session."""
    frequencies = [read(path) for path in sorted(glob.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq"))]
    temperatures = [read(path) for path in sorted(glob.glob("/sys/class/thermal/thermal_zone*/temp"))]
    return {
        "load": f"{os.getloadavg()[0]:.2f}",
        "frequencies_khz": ",".join(frequencies) or "not exposed",
        "temperatures_millicelsius": ",".join(temperatures) or "not exposed",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def cpu_model() -> str:
    for line in read("/proc/cpuinfo").splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def kept(name: str) -> str:
    """Where a file of that name, its SHA-256 and an ending, is kept on this machine."""
    if os.path.basename(name) != name or len(name.partition(".")[0]) != 64:
        raise ValueError(f"{name!r} is not the SHA-256 of a file and its ending")
    folder = os.environ.get("MILLIS_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "millis")
    return os.path.join(folder, "models", name)


def find(name: str) -> dict[str, Any]:
    """The path of a file that was kept; null where none was, or where its content is no longer what it was."""
    path = kept(name)
    try:
        with open(path, "rb") as file:
            whole = hashlib.sha256(file.read()).hexdigest() == name.partition(".")[0]
    except FileNotFoundError:
        whole = False
    return {"path": path if whole else None}


def keep(name: str, data: bytes) -> dict[str, Any]:
    """Write a file whole or not at all."""
    path = kept(name)
    if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
        raise ValueError(f"{name} arrived with other content than its name says")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    scratch = f"{path}.{os.getpid()}"
    with open(scratch, "wb") as file:
        file.write(data)
    os.replace(scratch, path)
    return {"path": path}


class Agent:
    """What was opened, and the answers to one request after another."""

    def __init__(self) -> None:
        self._load: Callable[[str], OnnxModel | LiteRTModel] | None = None
        self._cores: list[int] = []

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "open":
            return self._open(request)
        if request["do"] == "state":
            return {"state": state()}
        if request["do"] == "find":
            return find(request["name"])
        if request["do"] == "keep":
            return keep(request["name"], base64.b64decode(request["base64"], validate=True))
        if request["do"] == "burst":
            if self._load is None:
                raise ValueError("open comes before burst")
            return burst(self._load, self._cores, request)
        raise ValueError(f"no request {request['do']!r}")

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        model_class, threads, accelerator = MODELS[request["runtime"]], request["threads"], request["accelerator"]
        self._cores = pin(threads, request["cores"])  # before the runtime is loaded, whose threads then stay there
        facts = environment(request["runtime"], model_class, self._cores)
        self._load = lambda path: model_class(path, threads, accelerator)
        return {"environment": facts, "state": state()}


def serve(lines: Iterable[str], send: Callable[[str], object]) -> None:
    """Answer requests until they end."""
    agent = Agent()
    for line in lines:
        try:
            reply = agent.answer(json.loads(line))
        # Whatever a runtime raises belongs to the other side, which knows what was asked; nothing is swallowed.
        except Exception as error:  # noqa: BLE001
            reply = {"error": f"{type(error).__name__}: {error}"}
        send(json.dumps(reply) + "\n")


def main() -> None:
    # Runtimes write to stdout as they please; the answers keep the real one for themselves.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    serve(sys.stdin, channel.write)


if __name__ == "__main__":
    main()
