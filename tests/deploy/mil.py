"""What an ML program gives: read by coremltools from its package, each operation computed by PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_WEIGHTS = "Data/com.apple.CoreML/weights"


def program_of(package: Path) -> Any:
    """The package's only function, as coremltools reads it."""
    from coremltools.converters.mil.frontend.milproto.load import load
    from coremltools.models.utils import load_spec

    specification = load_spec(str(package))
    weights = str(package / _WEIGHTS)
    return load(specification, specification.specificationVersion, file_weights_dir=weights).functions["main"]


def classified(package: Path, pixels: Tensor) -> dict[str, float]:
    """The probability of each label for an image [1, C, H, W] of 0..255."""
    values: dict[str, Any] = {"image": pixels}
    for operation in program_of(package).operations:
        if operation.op_type == "const":
            continue
        given = {name: _value(values, each) for name, each in operation.inputs.items()}
        if operation.op_type == "classify":
            return dict(zip(given["classes"], given["probabilities"].flatten().tolist(), strict=True))
        values[operation.outputs[0].name] = OPERATIONS[operation.op_type](given)
    raise AssertionError("the program classifies nothing")


def _value(values: Mapping[str, Any], given: Any) -> Any:
    """A number, a list or a tensor: computed before, or a constant."""
    if isinstance(given, (tuple, list)):
        return [_value(values, each) for each in given]
    if given.name in values:
        return values[given.name]
    constant = given.val
    floating = getattr(getattr(constant, "dtype", None), "kind", "") == "f"
    return torch.as_tensor(constant, dtype=torch.float32) if floating else constant


def _conv(given: Mapping[str, Any]) -> Tensor:
    pad = [int(each) for each in given["pad"]]
    padded = functional.pad(given["x"], (pad[2], pad[3], pad[0], pad[1]))
    strides = tuple(int(each) for each in given["strides"])
    return functional.conv2d(padded, given["weight"], given.get("bias"), strides, groups=int(given["groups"]))


def _pool(given: Mapping[str, Any]) -> Tensor:
    assert not any(given.get("pad", [0]))
    return functional.avg_pool2d(given["x"], tuple(int(each) for each in given["kernel_sizes"]))


OPERATIONS: Mapping[str, Callable[[Mapping[str, Any]], Tensor]] = {
    "add": lambda given: given["x"] + given["y"],
    "avg_pool": _pool,
    "cast": lambda given: given["x"].half().float() if given["dtype"] == "fp16" else given["x"].float(),
    "clip": lambda given: given["x"].clamp(float(given["alpha"]), float(given["beta"])),
    "conv": _conv,
    "linear": lambda given: functional.linear(given["x"], given["weight"], given["bias"]),
    "mul": lambda given: given["x"] * given["y"],
    "reduce_mean": lambda given: given["x"].mean(tuple(map(int, given["axes"])), keepdim=bool(given["keep_dims"])),
    "relu": lambda given: given["x"].relu(),
    "relu6": lambda given: functional.relu6(given["x"]),
    "reshape": lambda given: given["x"].reshape([int(each) for each in given["shape"]]),
    "sigmoid_hard": lambda given: (given["x"] * float(given["alpha"]) + float(given["beta"])).clamp(0, 1),
    "softmax": lambda given: given["x"].softmax(int(given["axis"])),
}
