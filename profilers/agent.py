"""The timing agent: loads a compiled model, runs it, tells how long each inference took.

One self-contained file for the machine that is measured: Python 3.8 or newer, numpy and the runtime. It reads one JSON
request a line on stdin and answers one JSON object a line on stdout:

    {"do": "open", "runtime": "litert", "threads": 1}                    -> {"environment": {…}, "state": {…}}
    {"do": "burst", "path": "m.tflite", "warmup_runs": 3, "warmup_ms": 5,
     "runs": 10, "burst_ms": 20, "max_runs": 300}                        -> {"warmup_ns": […], "times_ns": […]}
    {"do": "state"}                                                      -> {"state": {…}}

Anything that goes wrong is answered as {"error": "…"}. The process pins itself to as many cores as it has threads
before the runtime is loaded, collects no garbage while timing, and times on random data.
"""

from __future__ import annotations

import gc
import glob
import json
import os
import platform
import sys
import time
from typing import Any, Callable, Iterable

import numpy as np

VERSION = 1  # 1: first version. Raised whenever times of two versions should not be pooled.


class OnnxModel:
    """An ONNX model with its input and output bound, so that a run copies nothing."""

    def __init__(self, path: str, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        self.input_shape = tuple(self._session.get_inputs()[0].shape)

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

    def __init__(self, path: str, threads: int) -> None:
        self._interpreter = self._package().Interpreter(model_path=path, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self.input_shape = tuple(int(size) for size in self._input["shape"])

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


def burst(model_class: type[OnnxModel | LiteRTModel], threads: int, request: dict[str, Any]) -> dict[str, list[int]]:
    """Load, warm up, time: everything from a fresh load, so that one burst owes nothing to another."""
    model = model_class(request["path"], threads)
    noise = np.random.RandomState(0).standard_normal(model.input_shape)
    model.feed(noise.astype(np.float32))
    gc.collect()
    gc.disable()
    try:
        warmup = time_runs(model.invoke, request["warmup_runs"], request["warmup_ms"], request["max_runs"])
        times = time_runs(model.invoke, request["runs"], request["burst_ms"], request["max_runs"])
    finally:
        gc.enable()
    return {"warmup_ns": warmup, "times_ns": times}


def pin(threads: int) -> list[int]:
    """Pin this process to the last `threads` of the cores it may use: the first ones serve interrupts.

    Returns those cores; none where the system pins no process.
    """
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    if threads > len(cores):
        raise ValueError(f"{threads} threads asked, but only {len(cores)} cores are available")
    os.sched_setaffinity(0, cores[-threads:])
    return cores[-threads:]


def environment(runtime: str, model_class: type[OnnxModel | LiteRTModel], threads: int) -> dict[str, str]:
    """What must agree before two measurements may stand in one table; pins the process."""
    cores = pin(threads)
    measured_core = cores[0] if cores else 0
    return {
        "agent": str(VERSION),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": str(os.cpu_count()),
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


class Agent:
    """What was opened, and the answers to one request after another."""

    def __init__(self) -> None:
        self._opened: tuple[type[OnnxModel | LiteRTModel], int] | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "open":
            return self._open(request["runtime"], request["threads"])
        if request["do"] == "state":
            return {"state": state()}
        if request["do"] == "burst":
            if self._opened is None:
                raise ValueError("open comes before burst")
            return dict(burst(*self._opened, request))
        raise ValueError(f"no request {request['do']!r}")

    def _open(self, runtime: str, threads: int) -> dict[str, Any]:
        model_class = MODELS[runtime]
        facts = environment(runtime, model_class, threads)
        self._opened = model_class, threads
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
