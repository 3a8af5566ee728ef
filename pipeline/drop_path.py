"""Dropping paths while a network of cells is trained (arXiv:1605.07648): a sum is to stand without any of its terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from profilers.cell_blocks import AddBlock
from profilers.graph_network import GraphNetwork


@contextmanager
def dropped_paths(network: nn.Module, probability: float, generator: torch.Generator) -> Iterator[None]:
    """Within it, terms of sums vanish for some images while `network` is in training mode; identities never do.

    What is left is scaled up, so that the mean of a sum stays what it is. A network without sums stays as it is.
    """

    def drop(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return drop_path(output, probability, generator) if module.training else output

    terms = paths(network) if probability > 0 else []
    hooks = [module.register_forward_hook(drop) for module in terms]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def drop_path(x: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Zeros for some images of the batch, the others scaled up: [N, C, H, W] -> the same."""
    kept = torch.rand(len(x), generator=generator) >= probability
    return x * (kept / (1 - probability)).to(x.dtype).view(-1, 1, 1, 1)


def paths(network: nn.Module) -> list[nn.Module]:
    """The operations whose outputs are summed up, but for identities."""
    if not isinstance(network, GraphNetwork):
        return []
    sums = (
        inputs
        for operation, inputs in zip(network.operations, network.inputs, strict=True)
        if isinstance(operation, AddBlock)
    )
    terms = dict.fromkeys(place for inputs in sums for place in inputs if place >= 0)
    return [network.operations[place] for place in terms if not isinstance(network.operations[place], nn.Identity)]
