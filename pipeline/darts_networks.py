"""Networks of DARTS's space as genotypes, and genotypes as networks of the space."""

from __future__ import annotations

from pipeline.architecture import Architecture
from pipeline.cells import KINDS
from pipeline.darts_space import DartsCells
from pipeline.genotypes import Genotype
from pipeline.graph_space import GraphSpace
from pipeline.space import SearchSpace, SpaceError


def require_darts(space: SearchSpace) -> DartsCells:
    """What makes the space, where it is of DARTS's cells; raises SpaceError where it is not."""
    if not isinstance(space, GraphSpace) or not isinstance(space.wiring, DartsCells):
        raise SpaceError(f"space {space.name}: not of DARTS's cells, which are asked for here")
    return space.wiring


def genotype_of(architecture: Architecture) -> Genotype:
    """The cells of a network in DARTS's space; raises SpaceError for a network of another space."""
    return require_darts(architecture.space).genotype(architecture.choices)


def architecture_of(genotype: Genotype, space: SearchSpace) -> Architecture:
    """The network of a genotype; raises SpaceError where it is none of the space."""
    cells = require_darts(space)
    whole = tuple(range(2, 2 + cells.nodes))
    labels: dict[str, str] = {}
    for kind, cell in zip(KINDS, (genotype.normal, genotype.reduce), strict=True):
        if cell.concat != whole or len(cell.nodes) != cells.nodes:
            raise SpaceError(f"{kind}: {space.name} has {cells.nodes} nodes, and all of them make up the output")
        for node, edges in enumerate(cell.nodes, start=2):
            named = {f"{kind}.{state}-{node}": operation for operation, state in edges}
            if len(named) < len(edges):
                raise SpaceError(f"{kind}: node {node} reads one state twice; in {space.name} an edge enters but once")
            labels |= named
    return Architecture.from_labels(space, labels)
