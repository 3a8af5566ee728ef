"""The timing agent: loads a compiled model, runs it, tells how long each inference took.

One self-contained file for the machine that is measured: Python 3.8 or newer, numpy and the runtime. It reads one JSON
request a line on stdin and answers one JSON object a line on stdout:

    {"do": "open", "runtime": "litert", "threads": 1}                    -> {"environment": {…}, "state": {…}}
    {"do": "burst", "path": "m.tflite", "warmup_runs": 3, "warmup_ms": 5,
     "runs": 10, "burst_ms": 20, "max_runs": 300}                        -> {"warmup_ns": […], "times_ns": […]}
    {"do": "state"}                                                      -> {"state": {…}}

Anything that goes wrong is answered as {"error": "…"}. The process pins itself to as many cores as it has threads before
the runtime is loaded, collects no garbage while timing, and times on random data.
"""

from __future__ import annotations

import gc
import glob
import json
import os
import platform
import sys
import time

import numpy as np

VERSION = 1  # 1: first version. Raised whenever times of two versions should not be pooled.


class OnnxModel:
    """An ONNX model with its input and output bound, so that a run copies nothing."""

    def __init__(self, path, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._binding = self._session.io_binding()
        self.input_shape = tuple(self._session.get_inputs()[0].shape)

    @staticmethod
    def version():
        import onnxruntime

        return onnxruntime.__version__

    def feed(self, array):
        self._array = array  # the binding does not keep it alive
        self._binding.bind_cpu_input(self._session.get_inputs()[0].name, array)
        self._binding.bind_output(self._session.get_outputs()[0].name)

    def invoke(self):
        self._session.run_with_iobinding(self._binding)

    def result(self):
        return self._binding.copy_outputs_to_cpu()[0]


class LiteRTModel:
    """A LiteRT (TensorFlow Lite) model on the CPU, by whichever interpreter package is installed."""

    def __init__(self, path, threads):
        self._interpreter = self._package().Interpreter(model_path=path, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self.input_shape = tuple(int(size) for size in self._input["shape"])

    @staticmethod
    def _package():
        try:
            from ai_edge_litert import interpreter
        except ImportError:
            from tflite_runtime import interpreter
        return interpreter

    @classmethod
    def version(cls):
        from importlib import metadata

        name = cls._package().__name__.split(".")[0].replace("_", "-")
        return name + " " + metadata.version(name)

    def feed(self, array):
        self._interpreter.set_tensor(self._input["index"], array)

    def invoke(self):
        self._interpreter.invoke()

    def result(self):
        return self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])


MODELS = {"onnxruntime": OnnxModel, "litert": LiteRTModel}


def time_runs(invoke, runs, min_ms, max_runs, clock=time.perf_counter_ns):
    """Nanoseconds of each call of `invoke`: at least `runs` calls and `min_ms`, at most `max_runs` calls."""
    times = []
    begin = clock()
    while len(times) < max_runs and (len(times) < runs or clock() - begin < min_ms * 1e6):
        start = clock()
        invoke()
        times.append(clock() - start)
    return times


def burst(model_class, threads, request):
    """Load, warm up, time: everything from a fresh load, so that one burst owes nothing to another."""
    model = model_class(request["path"], threads)
    noise = np.random.RandomState(0).standard_normal(model.input_shape)
    model.feed(noise.astype(np.float32))
    warmup = time_runs(model.invoke, request["warmup_runs"], request["warmup_ms"], request["max_runs"])
    gc.disable()
    times = time_runs(model.invoke, request["runs"], request["burst_ms"], request["max_runs"])
    gc.enable()
    return {"warmup_ns": warmup, "times_ns": times}


def pin(threads):
    """Pin this process to the last `threads` of the cores it may use: the first ones serve interrupts."""
    if not hasattr(os, "sched_setaffinity"):
        return "not pinned"
    cores = sorted(os.sched_getaffinity(0))
    if threads > len(cores):
        raise ValueError("%d threads asked, but only %d cores are available" % (threads, len(cores)))
    os.sched_setaffinity(0, cores[-threads:])
    return ",".join(str(core) for core in cores[-threads:])


def environment(runtime, model_class, threads):
    """What must agree before two measurements may stand in one table."""
    cores = os.cpu_count()
    affinity = pin(threads)
    return {
        "agent": str(VERSION),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": str(cores),
        "os": "%s %s" % (platform.system(), platform.release()),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "not exposed",
        "affinity": affinity,
        "runtime": runtime,
        "runtime_version": model_class.version(),
    }


def state():
    """What changes from moment to moment, told with every session."""
    frequencies = [read(path) for path in sorted(glob.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq"))]
    temperatures = [read(path) for path in sorted(glob.glob("/sys/class/thermal/thermal_zone*/temp"))]
    return {
        "load": "%.2f" % os.getloadavg()[0],
        "frequencies_khz": ",".join(frequencies) or "not exposed",
        "temperatures_millicelsius": ",".join(temperatures) or "not exposed",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def cpu_model():
    for line in read("/proc/cpuinfo").splitlines():
        if line.lower().startswith(("model name", "hardware")):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def serve(requests, answer):
    """Answer requests until stdin ends."""
    model_class = threads = None
    for line in requests:
        try:
            request = json.loads(line)
            if request["do"] == "open":
                model_class, threads = MODELS[request["runtime"]], request["threads"]
                answer({"environment": environment(request["runtime"], model_class, threads), "state": state()})
            elif request["do"] == "burst":
                answer(burst(model_class, threads, request))
            elif request["do"] == "state":
                answer({"state": state()})
            else:
                raise ValueError("no request %r" % request["do"])
        # Whatever a runtime raises belongs to the other side, which knows what was asked; nothing is swallowed.
        except Exception as error:  # noqa: BLE001
            answer({"error": "%s: %s" % (type(error).__name__, error)})


def main():
    # Runtimes write to stdout as they please; the answers keep the real one for themselves.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    serve(sys.stdin, lambda reply: channel.write(json.dumps(reply) + "\n"))


if __name__ == "__main__":
    main()
