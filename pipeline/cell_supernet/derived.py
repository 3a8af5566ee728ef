"""Networks with the weights that they have in a supernet of cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from pipeline.architecture import Architecture
from pipeline.cell_supernet.cell import Halving
from pipeline.cell_supernet.state import KERNELS, State
from pipeline.space import SpaceError
from profilers.cell_ops import DilConv, Reduce, SepConv
from profilers.graph_network import GraphNetwork
from profilers.operation import Operation

if TYPE_CHECKING:
    from pipeline.cell_supernet.cell import Cell
    from pipeline.cell_supernet.network import CellSupernet
    from profilers.blocks import ClassifierBlock

Weights = dict[str, Tensor]


def derived_network(supernet: CellSupernet, architecture: Architecture) -> GraphNetwork:
    """See `CellSupernet.derived`."""
    if supernet.partial > 1:
        raise SpaceError(f"weights of one in {supernet.partial} channels fit no network; train one from new weights")
    graph = architecture.graph()
    network = GraphNetwork(graph)
    for node, module in zip(graph.nodes, network.operations, strict=True):
        cell, _, part = node.name.removeprefix("cell").partition(".")
        if part:
            copied = _of_part(cast("Cell", supernet.cells[int(cell)]), part, node.op.operation)
            module.load_state_dict({**module.state_dict(), **copied})
    for kept, module in zip(supernet.stem, network.operations, strict=False):
        module.load_state_dict(kept.state_dict())
    cast("ClassifierBlock", network.operations[-1]).linear.load_state_dict(supernet.classifier.state_dict())
    return network


def _of_part(cell: Cell, part: str, operation: Operation) -> Weights:
    """What an input state or an edge (`0-2`, from state 0 to state 2) has in place of new weights."""
    if part in {"state0", "state1"}:
        return _of_input(cell.before if part == "state0" else cell.last)
    state, node = map(int, part.split("-"))
    return _of_edge(cast("State", cell.states[state]), node - 2 - max(0, state - 1), operation)


def _of_input(module: nn.Module) -> Weights:
    if isinstance(module, Halving):
        return {
            "even.0.weight": module.even.weight,
            "odd.0.weight": module.odd.weight,
            **_halves(module.norm, 1, 0),
        }
    conv, norm = module.children()
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    return {"1.weight": conv.weight, **_statistics("2", norm, (1,), (0,))}


def _of_edge(state: State, edge: int, operation: Operation) -> Weights:
    edges = state.edges
    if isinstance(operation, Reduce):
        even, odd = torch.unflatten(state.halves, 0, (2, edges))[:, edge, :, :, None, None]
        return {"even.0.weight": even, "odd.0.weight": odd, **_halves(state.halves_norm, edges, edge)}
    if not isinstance(operation, (SepConv, DilConv)):
        return {}
    kernel = KERNELS.index(operation.kernel)
    family = int(isinstance(operation, DilConv))
    last = torch.unflatten(state.last, 0, (2, edges, 2))[family, edge, kernel, :, :, None, None]
    last_statistics = state.last_norm, (2, edges, 2), (family, edge, kernel)
    if isinstance(operation, DilConv):
        first = torch.unflatten(state.dilated[kernel], 0, (edges, -1))[edge]
        return {"1.weight": first, "2.weight": last, **_statistics("3", *last_statistics)}
    return {
        "1.weight": torch.unflatten(state.separable[kernel], 0, (edges, -1))[edge],
        "2.weight": torch.unflatten(state.between, 0, (edges, 2))[edge, kernel, :, :, None, None],
        **_statistics("3", state.between_norm, (edges, 2), (edge, kernel)),
        "5.weight": torch.unflatten(state.second[kernel], 0, (edges, -1))[edge],
        "6.weight": last,
        **_statistics("7", *last_statistics),
    }


def _halves(norm: nn.BatchNorm2d, edges: int, edge: int) -> Weights:
    even, odd = (_statistics(f"{name}.1", norm, (2, edges), (half, edge)) for half, name in enumerate(("even", "odd")))
    return {**even, **odd}


def _statistics(name: str, norm: nn.BatchNorm2d, sizes: tuple[int, ...], place: tuple[int, ...]) -> Weights:
    """The running statistics of one among several normalisations."""
    assert norm.running_mean is not None and norm.running_var is not None
    both = {"running_mean": norm.running_mean, "running_var": norm.running_var}
    return {f"{name}.{kind}": torch.unflatten(values, 0, (*sizes, -1))[place] for kind, values in both.items()}
