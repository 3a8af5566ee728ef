"""The supernet: every candidate of every layer with weights of its own, one path at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipeline.architecture import Architecture
from pipeline.space import SearchSpace, require_chain
from profilers.blocks import build_chain
from profilers.operations import Identity


class Supernet(nn.Module):
    """All networks of a space in one. Weights are shared by the networks that choose the same candidate."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        self.space = space
        self.layers = nn.ModuleList(
            nn.ModuleList(spec.module() for spec in layer.candidates) for layer in require_chain(space).layers
        )

    def forward(self, x: Tensor, choices: Sequence[int]) -> Tensor:
        """Logits of one path: [N, C, H, W] -> [N, classes]. `choices` is one candidate index per decision."""
        for module in self._path(choices):
            x = module(x)
        return x

    def forward_gated(self, x: Tensor, gates: Sequence[Gates]) -> Tensor:
        """Logits of the active path, such that the gates of its rivals get their gradients too."""
        remaining = iter(gates)
        for candidates in self._candidates():
            x = next(remaining).apply(candidates, [x] * len(candidates)) if len(candidates) > 1 else candidates[0](x)
        return x

    def forward_mixed(self, x: Tensor, mix: Sequence[Tensor]) -> Tensor:
        """Logits of a network whose decisions are sums of all candidates, weighted by one vector [K] per decision."""
        remaining = iter(mix)
        for candidates in self._candidates():
            x = _weighted_sum(candidates, next(remaining), x) if len(candidates) > 1 else candidates[0](x)
        return x

    def derived(self, architecture: Architecture) -> nn.Sequential:
        """The network of an architecture as a chain of its own, with a copy of the supernet's weights."""
        network = build_chain(architecture.ops())
        operations = zip(architecture.ops(), self._path(architecture.choices), strict=True)
        kept = [module for op, module in operations if not isinstance(op.operation, Identity)]
        for copy, module in zip(network, kept, strict=True):
            copy.load_state_dict(module.state_dict())
        return network

    def _path(self, choices: Sequence[int]) -> Iterator[nn.Module]:
        """The module of each layer under one choice per decision."""
        remaining = iter(choices)
        for candidates in self._candidates():
            yield candidates[next(remaining) if len(candidates) > 1 else 0]

    def _candidates(self) -> Iterator[nn.ModuleList]:
        return (candidates for candidates in self.layers if isinstance(candidates, nn.ModuleList))


def _weighted_sum(candidates: nn.ModuleList, weights: Tensor, x: Tensor) -> Tensor:
    first, *others = candidates
    total: Tensor = weights[0] * first(x)
    for weight, module in zip(weights[1:], others, strict=True):
        total = torch.addcmul(total, module(x), weight)  # one pass over memory instead of two
    return total


@dataclass(frozen=True, slots=True)
class Gates:
    """Binary gates of one decision: one candidate is active, its rivals are computed for their gradients alone.

    candidates: the indices taking part; active: position of the active one among them; values: [len(candidates)], one
    for the active and zero for the rest, carrying the graph back to the architecture parameters.
    """

    candidates: tuple[int, ...]
    active: int
    values: Tensor

    def apply(self, modules: nn.ModuleList, inputs: Sequence[Tensor]) -> Tensor:
        """What the active module makes of its input; there is one for each module."""
        taking_part = [modules[index] for index in self.candidates]
        read = [inputs[index] for index in self.candidates]
        output = taking_part[self.active](read[self.active])
        kept = (each.detach() for each in read)
        return _GatedOutput.apply(output, self.values, taking_part, self.active, *kept)  # type: ignore[no-any-return]


class _GatedOutput(torch.autograd.Function):
    """Forward: the active output. Backward: dL/dg_j = sum(o_j * dL/do) for every candidate (arXiv:1812.00332, eq. 4).

    The rivals' outputs are computed in backward, one at a time, so that memory stays that of one path.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        output: Tensor,
        gates: Tensor,
        modules: list[nn.Module],
        active: int,
        *inputs: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(output, *inputs)
        ctx.modules, ctx.active, ctx.dtype = modules, active, gates.dtype  # type: ignore[attr-defined]
        ctx.bf16 = torch.is_autocast_enabled("cpu")  # type: ignore[attr-defined]
        return output.view_as(output)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
        output, *inputs = ctx.saved_tensors  # type: ignore[attr-defined]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=ctx.bf16):  # type: ignore[attr-defined]
            outputs = (
                output if j == ctx.active else module(x)  # type: ignore[attr-defined]
                for j, (module, x) in enumerate(zip(ctx.modules, inputs, strict=True))  # type: ignore[attr-defined]
            )
            gate_grads = torch.stack([(o * grad).sum(dtype=ctx.dtype) for o in outputs])  # type: ignore[attr-defined]
        return grad, gate_grads, None, None, *(None for _ in inputs)


@contextmanager
def frozen_statistics(network: nn.Module) -> Iterator[None]:
    """Batch normalisation by the batch's own statistics, with the running ones left alone."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


@contextmanager
def frozen_weights(network: nn.Module) -> Iterator[None]:
    """Parameters without gradients: nothing is kept, and nothing computed, for the sake of theirs."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_()
