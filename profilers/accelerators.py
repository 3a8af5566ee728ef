"""Which accelerators of this machine can be measured, and what the others lack."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError

from profilers import agent
from profilers.check import Check
from profilers.devices import open_session
from profilers.errors import DeviceError
from profilers.runtimes import installed, runtime_check
from profilers.target import Target

_NO_NVIDIA = "no NVIDIA driver"
_NO_VULKAN = "no GPU that Vulkan drives"
_GET_VULKAN = (
    "install the GPU's Vulkan driver; or for trials a GPU in software: apt-get install libvulkan1 chromium; "
    "export VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json"
)


def accelerator_checks() -> tuple[Check, ...]:
    """One for each accelerator that a computer of this kind can have; LiteRT's GPU is tried, which takes a second."""
    if platform.system() == "Darwin":
        return (_litert_gpu(), _onnxruntime("coreml", "onnxruntime"), _apple_pytorch())
    return (
        _litert_gpu(),
        _onnxruntime("webgpu", "onnxruntime-webgpu"),
        _onnxruntime("cuda", "onnxruntime-gpu"),
        _cuda_pytorch(),
    )


def _litert_gpu() -> Check:
    target = Target(runtime="litert", accelerator="gpu")
    packages = runtime_check("litert")
    if not packages.ok:
        return _lacking(target, packages.found, packages.mend)
    if platform.system() == "Linux" and not agent.vulkan_devices():
        return _lacking(target, _NO_VULKAN, _GET_VULKAN)
    try:
        session = open_session(target)
    except DeviceError as error:
        return _lacking(target, str(error), _GET_VULKAN)
    session.close()
    return Check(name=f"profile {target}", ok=True, found=session.environment.facts["gpu"])


def _onnxruntime(accelerator: str, package: str) -> Check:
    target = Target(runtime="onnxruntime", accelerator=accelerator)
    try:
        found = installed("onnxruntime")
    except PackageNotFoundError:
        return _lacking(target, "no onnxruntime", f"pip install {package}")
    gpu = {"cuda": _nvidia(), "webgpu": "; ".join(agent.vulkan_devices())}.get(accelerator, "")
    if accelerator == "cuda" and not gpu:
        return _lacking(target, _NO_NVIDIA, "install the driver of the NVIDIA GPU")
    if accelerator == "webgpu" and not gpu and platform.system() == "Linux":
        return _lacking(target, _NO_VULKAN, _GET_VULKAN)
    if found.split()[0] != package:
        return _lacking(target, found, f"pip uninstall -y {found.split()[0]} && pip install {_with_libraries(package)}")
    return Check(name=f"profile {target}", ok=True, found=", ".join(filter(None, [found, gpu])))


def _with_libraries(package: str) -> str:
    return f"'{package}[cuda,cudnn]'" if package == "onnxruntime-gpu" else package


def _cuda_pytorch() -> Check:
    target = Target(runtime="pytorch", accelerator="cuda")
    packages = runtime_check("pytorch")
    if not packages.ok:
        return _lacking(target, packages.found, packages.mend)
    if not _nvidia():
        return _lacking(target, f"{packages.found}, {_NO_NVIDIA}", "install the driver of the NVIDIA GPU")
    if "+cpu" in packages.found:
        return _lacking(
            target, packages.found, "pip install --force-reinstall torch, as https://pytorch.org/get-started"
        )
    return Check(name=f"profile {target}", ok=True, found=f"{packages.found}, {_nvidia()}")


def _apple_pytorch() -> Check:
    target = Target(runtime="pytorch", accelerator="mps")
    packages = runtime_check("pytorch")
    if packages.ok and platform.machine() == "arm64":
        return Check(name=f"profile {target}", ok=True, found=packages.found)
    return _lacking(
        target, f"{packages.found}, {platform.machine()}", packages.mend or "use a Mac with Apple's own chip"
    )


def _nvidia() -> str:
    """The NVIDIA GPUs with their driver; empty without."""
    told = agent.nvidia_smi("name,driver_version")
    return "" if told == agent.NOT_EXPOSED else told


def _lacking(target: Target, found: str, mend: str) -> Check:
    return Check(name=f"profile {target}", ok=False, found=found, mend=mend)
