"""The timing agent: loads a compiled model, runs it, tells how long each inference took.

One self-contained file for the machine that is measured: Python 3.8 or newer, numpy and the runtime. It reads one JSON
request a line on stdin and answers one JSON object a line on stdout:

    {"do": "open", "runtime": "litert", "accelerator": "cpu",
     "precision": "fp32", "threads": 1, "cores": "big"}                  -> {"environment": {…}, "state": {…}}
    {"do": "find", "name": "3f….tflite"}                                 -> {"path": "…"}, or null without it
    {"do": "keep", "name": "3f….tflite", "base64": "…"}                  -> {"path": "…"}
    {"do": "burst", "path": "m.tflite", "shapes": {"ids": [1, 128]},
     "warmup_runs": 3, "warmup_ms": 5, "runs": 10, "burst_ms": 20,
     "max_runs": 300}                                                    -> {"warmup_ns": […], "times_ns": […],
                                                                             "disturbed": ""}
    {"do": "profile", "path": "m.onnx", "shapes": {}, "runs": 20}        -> {"operations": {"name": [ns, …], …}}
    {"do": "state"}                                                      -> {"state": {…}}

Anything that goes wrong is answered as {"error": "…"}. The process pins itself to as many cores as it has threads
before the runtime is loaded, collects no garbage while timing, and times on random data; of several agents on a machine
one times at a time. "shapes" are of inputs by name, where the file leaves them open. A run is over when its result is
there: on an accelerator too it begins with the input in this machine's memory and ends with the output there, as an
application sees it. Precision fp32 is computed in fp32. A file that was kept has its SHA-256 as its name, and is
checked against it. The end of stdin ends the process at once.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import fcntl
import gc
import glob
import hashlib
import itertools
import json
import os
import platform
import re
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
import zlib
from functools import partial
from queue import SimpleQueue
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Union

import numpy as np

# Raised whenever times of two versions should not be pooled.
# 1: first version
# 2: tells the cores' maximum frequencies and pins to the fastest cores
VERSION = 2


class Input(NamedTuple):
    """What a model takes; `shape` is what it is timed with."""

    name: str
    shape: tuple[int, ...]
    dtype: str


Shapes = Optional[Dict[str, List[int]]]

ONNX_DTYPES = {
    "tensor(bool)": "bool",
    "tensor(double)": "float64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    **{f"tensor({kind}{bits})": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
}

# Accelerator -> ONNX Runtime's provider, and the packages that have it. Of the GPUs only webgpu was ever seen at work:
# CUDA, TensorRT and Core ML are written by their documentation.
ONNX_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "onnxruntime"),
    "cuda": ("CUDAExecutionProvider", "'onnxruntime-gpu[cuda,cudnn]'"),
    "tensorrt": ("TensorrtExecutionProvider", "'onnxruntime-gpu[cuda,cudnn]' tensorrt"),
    "webgpu": ("WebGpuExecutionProvider", "onnxruntime-webgpu"),
    "coreml": ("CoreMLExecutionProvider", "onnxruntime # on a Mac"),
}


class OnnxModel:
    """An ONNX model; on the CPU its inputs and outputs are bound, so that a run copies nothing.

    `profile` begins the name of the file where ONNX Runtime notes what each operation took, which slows it down.
    """

    def __init__(
        self,
        path: str,
        threads: int,
        accelerator: str,
        precision: str = "fp32",
        shapes: Shapes = None,
        profile: str = "",
    ) -> None:
        self._session = onnx_session(path, threads, accelerator, precision, profile)
        # Binding would copy the input to an accelerator once for all runs.
        self._binding = self._session.io_binding() if accelerator == "cpu" else None
        self.inputs = tuple(
            Input(given.name, tuple((shapes or {}).get(given.name, given.shape)), ONNX_DTYPES[given.type])
            for given in self._session.get_inputs()
        )

    @staticmethod
    def version() -> str:
        import onnxruntime

        return str(onnxruntime.__version__)

    @staticmethod
    def adapter(accelerator: str) -> str:
        import onnxruntime

        provider, package = ONNX_PROVIDERS[accelerator]
        if provider not in onnxruntime.get_available_providers():
            installed = getattr(onnxruntime, "package_name", "onnxruntime")
            raise ValueError(
                f"{installed} {onnxruntime.__version__} has no {provider}, and only one onnxruntime package fits into "
                f"an environment: pip uninstall -y {installed} && pip install {package}"
            )
        if accelerator == "webgpu":
            return "; ".join(vulkan_devices()) or "not told by onnxruntime"
        return nvidia_smi("name,driver_version") if accelerator in NVIDIA else ""

    def feed(self, *arrays: np.ndarray) -> None:
        self._fed = {given.name: array for given, array in zip(self.inputs, arrays)}  # which no binding keeps alive
        if self._binding:
            for name, array in self._fed.items():
                self._binding.bind_cpu_input(name, array)
            for taken in self._session.get_outputs():
                self._binding.bind_output(taken.name)

    def invoke(self) -> None:
        if self._binding:
            self._session.run_with_iobinding(self._binding)
        else:
            self._outputs = self._session.run(None, self._fed)

    def result(self) -> np.ndarray:
        outputs: list[np.ndarray] = self._binding.copy_outputs_to_cpu() if self._binding else self._outputs
        return outputs[0]

    def run_ns(self) -> int:
        return host_ns(self.invoke)

    def profiled(self) -> dict[str, list[int]]:
        """Nanoseconds of each operation in each run so far, by its name in the graph as ONNX Runtime has made it."""
        ending = "_kernel_time"
        times: dict[str, list[int]] = {}
        with open(self._session.end_profiling()) as file:
            for event in json.load(file):
                if event["cat"] == "Node" and event["name"].endswith(ending):
                    times.setdefault(event["name"][: -len(ending)], []).append(1000 * event["dur"])
        return times


def onnx_session(path: str, threads: int, accelerator: str, precision: str, profile: str = "") -> Any:
    """A session with every operation on the accelerator; raises ValueError naming those that are not."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if profile:
        options.enable_profiling = True
        options.profile_file_prefix = profile
    provider, package = ONNX_PROVIDERS[accelerator]
    if accelerator == "cpu":
        return onnxruntime.InferenceSession(path, options, providers=[provider])
    if accelerator in NVIDIA and hasattr(onnxruntime, "preload_dlls"):
        onnxruntime.preload_dlls(directory="")  # CUDA as pip installs it
    features = {
        "tensorrt": {"trt_fp16_enable": str(precision == "fp16"), "trt_int8_enable": str(precision == "int8")},
        "coreml": {"ModelFormat": "MLProgram"},
    }
    providers = [(provider, features.get(accelerator, {}))]
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    with overheard() as heard:
        try:
            return onnxruntime.InferenceSession(path, options, providers=providers, enable_fallback=0)
        except (Fail, RuntimeError) as error:
            reason = str(error)
    # Loaded once more, with the CPU allowed, only to be asked which operations that is needed for.
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    with overheard():
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    if provider in session.get_providers():
        elsewhere = onnx_nodes_elsewhere(session, provider) or reason
        raise ValueError(f"not every operation runs on {provider}: {elsewhere}; {REPLACE}")
    found = re.search("Failed to .*", "\n".join([*heard, reason]))
    raise ValueError(
        f"{provider} does not start: {found[0] if found else reason}; it needs the GPU's driver, and what comes with "
        f"pip install {package}"
    )


def onnx_nodes_elsewhere(session: Any, provider: str) -> str:
    """The nodes that are not on a provider, `Det (determinant)`, as far as the version of ONNX Runtime tells."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return "this version of onnxruntime cannot tell which"
    parts = [part for part in session.get_provider_graph_assignment_info() if part.ep_name != provider]
    return ", ".join(f"{node.op_type} ({node.name})" for part in parts for node in part.get_nodes())


class LiteRTModel:
    """A LiteRT (TensorFlow Lite) model on the CPU, by whichever interpreter package is installed."""

    def __init__(
        self, path: str, threads: int, accelerator: str, precision: str = "fp32", shapes: Shapes = None
    ) -> None:
        self._interpreter = self._package().Interpreter(model_path=path, num_threads=threads)
        for given in self._interpreter.get_input_details():
            shape = (shapes or {}).get(given["name"], list(given["shape"]))
            if shape != list(given["shape"]):
                self._interpreter.resize_tensor_input(given["index"], shape, strict=True)
        self._interpreter.allocate_tensors()
        details = self._interpreter.get_input_details()
        self._places = [given["index"] for given in details]
        self.inputs = tuple(
            Input(given["name"], tuple(map(int, given["shape"])), np.dtype(given["dtype"]).name) for given in details
        )

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

    @staticmethod
    def adapter(_accelerator: str) -> str:
        return ""

    def feed(self, *arrays: np.ndarray) -> None:
        for place, array in zip(self._places, arrays):
            self._interpreter.set_tensor(place, array)

    def invoke(self) -> None:
        self._interpreter.invoke()

    def result(self) -> np.ndarray:
        output: np.ndarray = self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])
        return output

    def run_ns(self) -> int:
        return host_ns(self.invoke)


class LiteRTGpuModel:
    """A LiteRT model on the GPU, which works on after a run returned: it is reading the result that waits for it."""

    def __init__(
        self, path: str, threads: int, accelerator: str, precision: str = "fp32", shapes: Shapes = None
    ) -> None:
        self._model, _ = litert_on_gpu(path, precision)
        signature = self._model.get_signature_by_index(0)
        given = self._model.get_input_tensor_details(signature["key"])
        taken = self._model.get_output_tensor_details(signature["key"])
        self.inputs = tuple(
            Input(name, tuple(given[name]["shape"]), str(given[name]["dtype"])) for name in signature["inputs"]
        )
        if shapes and sorted(shapes.values()) != sorted(list(each.shape) for each in self.inputs):
            raise ValueError("on a GPU LiteRT takes no sizes but those that stand in the file: fix them there")
        self._given = [taken[name] for name in signature["outputs"]]
        self._inputs = self._model.create_input_buffers(0)
        self._outputs = self._model.create_output_buffers(0)

    @staticmethod
    def version() -> str:
        return LiteRTModel.version()

    @staticmethod
    def adapter(_accelerator: str) -> str:
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(zlib.decompress(base64.b64decode(LITERT_ADDITION)))
            file.flush()
            _, heard = litert_on_gpu(file.name, "fp32")
        found = [line.partition("Selected adapter:")[2].strip() for line in heard]
        return next(filter(None, found), "not told by LiteRT")

    def feed(self, *arrays: np.ndarray) -> None:
        self._arrays = arrays

    def invoke(self) -> None:
        for buffer, array in zip(self._inputs, self._arrays):
            buffer.write(array)
        self._model.run_by_index(0, self._inputs, self._outputs)
        self._results = self._read()

    def _read(self) -> list[np.ndarray]:
        return [
            buffer.read(int(np.prod(given["shape"])), np.dtype(given["dtype"])).reshape(given["shape"])
            for buffer, given in zip(self._outputs, self._given)
        ]

    def result(self) -> np.ndarray:
        return self._results[0]

    def run_ns(self) -> int:
        return host_ns(self.invoke)


# A .tflite that adds four numbers to themselves: what it runs on is what every model runs on.
LITERT_ADDITION = (
    "eNp1j7EOgzAMRF9oBiQQYmDgP1g7d+rQoUPXduKT+yls4eK4NAuOLpHvfNZlBp63+wIDEyM9rZioDnUwC5twEYIp4lNKwfX+cEXd"
    "hXvkncLLPRO5BnvzbFftV3U/3+p7Mxr+FSrg2tWzfOVpLUfRP87Xnmh6+Rmes/a8TzzB56Id2AG35xCi"
)


def litert_on_gpu(path: str, precision: str) -> tuple[Any, list[str]]:
    """A model compiled for the GPU alone, and what LiteRT said meanwhile.

    Raises ValueError where there is no GPU, or naming the operations that it cannot do.
    """
    try:
        from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator, Options
        from ai_edge_litert.gpu_options import GpuOptions
    except ImportError as error:
        raise ValueError(
            f"LiteRT's GPU accelerator is not installed ({error}): pip install -U ai-edge-litert"
        ) from None
    options = Options(HardwareAccelerator.GPU, gpu_options=GpuOptions(enforce_f32=precision == "fp32"))
    model, reason = None, ""
    with overheard() as heard:
        try:
            model = CompiledModel.from_file(path, options=options)
        except RuntimeError as error:
            reason = str(error)
    if model is not None and model.is_fully_accelerated():
        return model, heard
    told = [n for n, line in enumerate(heard) if "not supported by GPU delegate" in line]
    if told:
        rest = itertools.takewhile(lambda line: "operations will run on" not in line, heard[told[0] + 1 :])
        named = "; ".join(line.rstrip(".") for line in rest)
        raise ValueError(f"not every operation runs on the GPU: {named}; {REPLACE}")
    if any("Failed to initialize" in line or "No adapters found" in line for line in heard):
        raise ValueError(
            "LiteRT finds no GPU: install the driver of one for Vulkan, or Chromium's software GPU for trials "
            "(apt-get install libvulkan1 chromium; VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json)"
        )
    raise ValueError(f"LiteRT does not put the model on the GPU: {reason or 'it does not say why'}")


class TorchModel:
    """A program of torch.export, run operation by operation as PyTorch does; on CUDA its own events tell the time.

    The CPU was seen at work; CUDA and MPS are written by their documentation.
    """

    def __init__(
        self, path: str, threads: int, accelerator: str, precision: str = "fp32", shapes: Shapes = None
    ) -> None:
        import torch
        from torch.export.passes import move_to_device_pass

        refuse_pickles(path)
        torch.set_num_threads(threads)
        program = move_to_device_pass(torch.export.load(path), accelerator)
        self._torch, self._accelerator = torch, accelerator
        self._event: Any = torch.cuda.Event if accelerator == "cuda" else None
        self._module = program.module(check_guards=False)
        given = {node.name: node.meta["val"] for node in program.graph.nodes if node.op == "placeholder"}
        self.inputs = tuple(
            Input(name, tuple(given[name].shape), str(given[name].dtype).partition(".")[2])
            for name in program.graph_signature.user_inputs
        )

    @staticmethod
    def version() -> str:
        import torch

        return str(torch.__version__)

    @staticmethod
    def adapter(accelerator: str) -> str:
        import torch

        if accelerator == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"PyTorch {torch.__version__} finds no CUDA GPU: see https://pytorch.org/get-started/locally"
            )
        if accelerator == "mps" and not torch.backends.mps.is_available():
            raise ValueError(f"PyTorch {torch.__version__} finds no MPS: it needs a Mac with Apple's own processor")
        return str(torch.cuda.get_device_name()) if accelerator == "cuda" else ""

    def feed(self, *arrays: np.ndarray) -> None:
        self._fed = [self._torch.from_numpy(array) for array in arrays]

    def invoke(self) -> None:
        with self._torch.inference_mode():
            output = self._module(*[tensor.to(self._accelerator) for tensor in self._fed])
            self._output = output.to("cpu")  # which waits for the result

    def result(self) -> np.ndarray:
        output: np.ndarray = self._output.numpy()
        return output

    def run_ns(self) -> int:
        if self._event is None:
            return host_ns(self.invoke)
        begin, end = self._event(enable_timing=True), self._event(enable_timing=True)
        begin.record()
        self.invoke()
        end.record()
        end.synchronize()
        return int(begin.elapsed_time(end) * 1e6)  # from ms


def refuse_pickles(path: str) -> None:
    """Raise ValueError for a program of which torch.export.load would unpickle a part, and so run what it says."""
    weights = r"data/\w+/((weight|tensor)_\d+|\w+_config\.json)"
    plain = rf"[^/]+/(\.data/\w+|byteorder|version|archive_\w+|models/\w+\.json|{weights})"
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            parts = json.loads(archive.read(entry))["config"] if entry.filename.endswith("_config.json") else {}
            pickled = any(part["use_pickle"] for part in parts.values())
            if pickled or (entry.file_size and not re.fullmatch(plain, entry.filename)):
                raise ValueError(f"{entry.filename} is, or names, a pickle, and none is loaded: save without examples")


Model = Union[OnnxModel, LiteRTModel, LiteRTGpuModel, TorchModel]
MODELS: dict[str, type[Model]] = {"onnxruntime": OnnxModel, "litert": LiteRTModel, "pytorch": TorchModel}

NVIDIA = ("cuda", "tensorrt")
NOT_EXPOSED = "not exposed"
REPLACE = "replace them, or measure with accelerator=cpu"


def model_class(runtime: str, accelerator: str) -> type[Model]:
    return LiteRTGpuModel if (runtime, accelerator) == ("litert", "gpu") else MODELS[runtime]


def host_ns(invoke: Callable[[], object], clock: Callable[[], int] = time.perf_counter_ns) -> int:
    """Nanoseconds of one call."""
    start = clock()
    invoke()
    return clock() - start


def time_runs(run_ns: Callable[[], int], runs: int, min_ms: float, max_runs: int) -> list[int]:
    """What `run_ns` tells of each run: of at least `runs` and together `min_ms`, of at most `max_runs`."""
    times: list[int] = []
    total_ns = 0
    while len(times) < max_runs and (len(times) < runs or total_ns < min_ms * 1e6):
        times.append(run_ns())
        total_ns += times[-1]
    return times


def burst(load: Callable[..., Model], cores: list[int], request: dict[str, Any]) -> dict[str, Any]:
    """Load, warm up, time: everything from a fresh load, so that one burst owes nothing to another."""
    model = load(request["path"], shapes=request.get("shapes"))
    feed_noise(model)
    gc.collect()
    gc.disable()
    try:
        warmup = time_runs(model.run_ns, request["warmup_runs"], request["warmup_ms"], request["max_runs"])
        before = clocks(cores)
        times = time_runs(model.run_ns, request["runs"], request["burst_ms"], request["max_runs"])
        after = clocks(cores)
    finally:
        gc.enable()
    return {"warmup_ns": warmup, "times_ns": times, "disturbed": disturbance(before, after)}


def profile(load: Callable[..., OnnxModel], request: dict[str, Any]) -> dict[str, list[int]]:
    """What each operation took in each of some runs, as the runtime's own profiler tells it."""
    with tempfile.TemporaryDirectory() as folder:
        model = load(request["path"], shapes=request.get("shapes"), profile=os.path.join(folder, "profile"))
        feed_noise(model)
        for _ in range(request["runs"]):
            model.invoke()
        return model.profiled()


def feed_noise(model: Model) -> None:
    """Random data for every input."""
    model.feed(*[noise(given.shape, given.dtype) for given in model.inputs])


def noise(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Random data, the same on every call: zeros and denormals take other times than numbers do.

    Bytes are those of images. Wider integers are 0 or 1, which is in range for an index, an identifier or a mask.
    """
    random = np.random.RandomState(0)
    if dtype in ("int8", "uint8"):
        limits = np.iinfo(dtype)
        return np.asarray(random.randint(limits.min, limits.max + 1, size=shape)).astype(dtype)
    if dtype.startswith(("int", "uint", "bool")):
        return np.asarray(random.randint(0, 2, size=shape)).astype(dtype)
    return np.asarray(random.standard_normal(shape)).astype(dtype)


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


def environment(runtime: str, model_class: type[Model], adapter: str, cores: list[int]) -> dict[str, str]:
    """What must agree before two measurements may stand in one table."""
    measured_core = cores[0] if cores else 0
    frequencies = [max_frequency_khz(core) for core in range(os.cpu_count() or 1)]
    facts = {
        "agent": str(VERSION),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": str(os.cpu_count()),
        "max_frequencies_khz": ",".join(map(str, frequencies)) if any(frequencies) else NOT_EXPOSED,
        "os": f"{platform.system()} {platform.release()}",
        "governor": read(f"/sys/devices/system/cpu/cpu{measured_core}/cpufreq/scaling_governor") or NOT_EXPOSED,
        "affinity": ",".join(map(str, cores)) or "not pinned",
        "runtime": runtime,
        "runtime_version": model_class.version(),
    }
    return dict(facts, gpu=adapter) if adapter else facts


def state(accelerator: str = "cpu") -> dict[str, str]:
    """What changes from moment to moment, told with every session."""
    frequencies = [read(path) for path in sorted(glob.glob("/sys/devices/system/cpu/cpu*/cpufreq/scaling_cur_freq"))]
    temperatures = [read(path) for path in sorted(glob.glob("/sys/class/thermal/thermal_zone*/temp"))]
    found = {
        "load": f"{os.getloadavg()[0]:.2f}",
        "frequencies_khz": ",".join(frequencies) or NOT_EXPOSED,
        "temperatures_millicelsius": ",".join(temperatures) or NOT_EXPOSED,
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    if accelerator in NVIDIA:
        found["gpu"] = nvidia_smi("clocks.sm,temperature.gpu,clocks_throttle_reasons.active")
    return found


def nvidia_smi(fields: str) -> str:
    """Those of every NVIDIA GPU, as its driver tells them."""
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
    try:
        told = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=10).stdout.decode()
    except (OSError, subprocess.SubprocessError):
        return NOT_EXPOSED
    return "; ".join(told.splitlines())


def vulkan_devices() -> list[str]:
    """Each GPU that Vulkan drives, one in software marked; none without Vulkan's loader or a driver."""
    try:
        vulkan = ctypes.CDLL("libvulkan.so.1")
    except OSError:
        return []
    # VkInstanceCreateInfo: its type, next, flags, application, layers and their names, extensions and their names.
    instance, count = ctypes.c_void_p(), ctypes.c_uint32()
    if vulkan.vkCreateInstance(struct.pack("@iPIPIPIP", 1, *[0] * 7), None, ctypes.byref(instance)) != 0:
        return []
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
    devices = (ctypes.c_void_p * count.value)()
    vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), devices)
    found = []
    for device in devices:
        # VkPhysicalDeviceProperties: versions of interface and driver, vendor, device, kind (4: a CPU), name, limits.
        properties = ctypes.create_string_buffer(1024)
        vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
        _, driver, _, _, kind = struct.unpack_from("5I", properties.raw)
        name = properties.raw[20:276].partition(b"\0")[0].decode()
        found.append(f"{name}, driver {driver:#x}" + (", software" if kind == 4 else ""))
    vulkan.vkDestroyInstance(instance, None)
    return found


@contextlib.contextmanager
def overheard() -> Iterator[list[str]]:
    """The lines that native code writes to stdout and stderr meanwhile, there afterwards; stderr gets them then."""
    heard: list[str] = []
    stdout, stderr = os.dup(1), os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        try:
            yield heard
        finally:
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.close(stdout)
            os.close(stderr)
            file.seek(0)
            said = file.read()
            os.write(2, said)
            heard += filter(None, re.sub(r"\x1b\[[0-9;]*m", "", said.decode(errors="replace")).splitlines())


def cpu_model() -> str:
    """The processor's name; of one that has none, as ARM's, the board's name and the numbers of its kinds of core."""
    lines = [line.partition(":") for line in read("/proc/cpuinfo").splitlines()]
    fields = [(name.strip().lower(), value.strip()) for name, _, value in lines]
    names = [value for name, value in fields if name in ("model name", "hardware")]
    if names:
        return names[0]
    cores = [value for name, value in fields if name == "cpu part"]
    kinds = [f"{cores.count(part)} cores of part {part}" for part in sorted(set(cores))]
    board = read("/proc/device-tree/model").rstrip("\0")
    return ", ".join(filter(None, [board, *kinds])) or platform.processor() or platform.machine()


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
    return os.path.join(cache(), "models", name)


def cache() -> str:
    """The folder of what stays on this machine."""
    return os.environ.get("MILLIS_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "millis")


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Meanwhile no other agent of this user times anything: neither another run's, nor one that was cut off."""
    os.makedirs(cache(), exist_ok=True)
    with open(os.path.join(cache(), "timing.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the system lifts it from a process that dies
        yield


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
        self._load: Callable[..., Any] | None = None
        self._cores: list[int] = []
        self._accelerator = "cpu"
        self._tells_operations = False

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "open":
            return self._open(request)
        if request["do"] == "state":
            return {"state": state(self._accelerator)}
        if request["do"] == "find":
            return find(request["name"])
        if request["do"] == "keep":
            return keep(request["name"], base64.b64decode(request["base64"], validate=True))
        if request["do"] in ("burst", "profile"):
            if self._load is None:
                raise ValueError(f"open comes before {request['do']}")
            with alone():
                return self._timed(self._load, request)
        raise ValueError(f"no request {request['do']!r}")

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        runtime, threads = request["runtime"], request["threads"]
        accelerator, precision = request.get("accelerator", "cpu"), request.get("precision", "fp32")
        loaded = model_class(runtime, accelerator)
        self._cores = pin(threads, request["cores"])  # before the runtime is loaded, whose threads then stay there
        os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # fp32 is not a shorter format
        facts = environment(runtime, loaded, loaded.adapter(accelerator), self._cores)
        self._accelerator = accelerator
        self._load = partial(loaded, threads=threads, accelerator=accelerator, precision=precision)
        self._tells_operations = loaded is OnnxModel and accelerator == "cpu"
        return {"environment": facts, "state": state(accelerator)}

    def _timed(self, load: Callable[..., Any], request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "burst":
            return burst(load, self._cores, request)
        if not self._tells_operations:
            raise ValueError("only ONNX Runtime on a CPU tells what each operation takes")
        return {"operations": profile(load, request)}


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


def requests() -> Iterator[str]:
    """The lines of stdin, for which a thread of its own waits.

    So their end, when the other side is gone, ends this process in the middle of a burst too.
    """
    waiting: SimpleQueue[str] = SimpleQueue()

    def listen() -> None:
        for line in sys.stdin:
            waiting.put(line)
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        yield waiting.get()


def main() -> None:
    # Runtimes write to stdout as they please; the answers keep the real one for themselves.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    serve(requests(), channel.write)


if __name__ == "__main__":
    main()
