"""Weights and the state of a run in safetensors files: written whole or not at all, no pickles.

A state is a tree of dicts (keys: str or int), lists, tuples, tensors and JSON scalars. Its tensors lie in the file
under the numbers 0, 1, …; the tree that refers to them is JSON in the file's metadata:

    {"tensor": "3"}   {"dict": [[key, node], …]}   {"list": [node, …]}   {"tuple": [node, …]}   {"value": scalar}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from profilers.errors import FileError
from profilers.files import write_atomic

SCHEMA = 1  # 1: first version

State = Mapping[Any, Any] | list[Any] | tuple[Any, ...] | Tensor | str | int | float | bool | None


def save_state(path: Path, state: State) -> None:
    """Write a tree of tensors and scalars; raises TypeError for anything else in it."""
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_encoded(state, tensors))
    write_atomic(path, save(tensors, metadata={"schema": str(SCHEMA), "kind": "state", "tree": tree}))


def load_state(path: Path) -> Any:
    """The tree that `save_state` wrote, equal in every bit, its tensors contiguous on the CPU; raises FileError."""
    metadata, tensors = _read(path, kind="state")
    try:
        return _decoded(json.loads(metadata["tree"]), tensors)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise FileError(
            f"{path}: not a whole state: {type(error).__name__}: {error}; delete it and begin anew"
        ) from None


def save_weights(path: Path, network: nn.Module) -> None:
    """Write the parameters and buffers of a network under their own names."""
    tensors = {name: _plain(tensor) for name, tensor in network.state_dict().items()}
    write_atomic(path, save(tensors, metadata={"schema": str(SCHEMA), "kind": "weights", "format": "pt"}))


def load_weights(path: Path, network: nn.Module) -> None:
    """Fill a network with the weights of a file; raises FileError where names or shapes are not the network's."""
    _, tensors = _read(path, kind="weights")
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise FileError(f"{path}: weights of another network: {' '.join(str(error).split())[:200]}") from None


def _read(path: Path, *, kind: str) -> tuple[dict[str, str], dict[str, Tensor]]:
    if not path.is_file():
        raise FileError(f"{path}: no such {kind} file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise FileError(f"{path}: not a readable safetensors file: {error}") from None
    if metadata.get("kind") != kind:
        raise FileError(f"{path}: holds no {kind} of millis, but {metadata.get('kind', 'something else')}")
    if metadata.get("schema") != str(SCHEMA):
        raise FileError(f"{path}: schema: {kind} of version {metadata.get('schema')}, but this millis reads {SCHEMA}")
    return metadata, tensors


def _plain(tensor: Tensor) -> Tensor:
    """A copy on the CPU that shares memory with nothing, as the format asks."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _encoded(node: State, tensors: dict[str, Tensor]) -> dict[str, Any]:
    if isinstance(node, Tensor):
        name = str(len(tensors))
        tensors[name] = _plain(node)
        return {"tensor": name}
    if isinstance(node, Mapping):
        return {"dict": [[_key(key), _encoded(value, tensors)] for key, value in node.items()]}
    if isinstance(node, list | tuple):
        return {"list" if isinstance(node, list) else "tuple": [_encoded(value, tensors) for value in node]}
    if node is None or isinstance(node, str | int | float):
        return {"value": node}
    raise TypeError(f"a state holds no {type(node).__name__}")


def _key(key: object) -> str | int:
    if isinstance(key, str | int) and not isinstance(key, bool):
        return key
    raise TypeError(f"a state holds no {type(key).__name__} as the key of a dict")


def _decoded(node: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(node, dict) or len(node) != 1:
        raise ValueError(f"{node!r} is no node")
    ((kind, content),) = node.items()
    match kind:
        case "tensor":
            return tensors[content]
        case "dict":
            return {_key(key): _decoded(value, tensors) for key, value in content}
        case "list":
            return [_decoded(value, tensors) for value in content]
        case "tuple":
            return tuple(_decoded(value, tensors) for value in content)
        case "value":
            return content
    raise ValueError(f"{kind!r} is no kind of node")
