"""The space of recurrent cells (arXiv:1806.09055, section 3.2): what each node reads, and how it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.recurrent.genotype import ACTIVATIONS, CellNode, Genotype
from pipeline.space import Decision, Rule, SearchSpace, SpaceError
from profilers.cell_ops import Concat
from profilers.graph import INPUT, Drawing, Graph
from profilers.op_spec import OpSpec
from profilers.recurrent_ops import Decode, Embed, Entry, Highway, Mean
from profilers.shape import Shape


@dataclass(frozen=True, slots=True)
class RecurrentWiring:
    """A language model's step: token and state in one input of 1 + hidden channels -> logits and the next state.

    `mean` are the nodes that make the next state; none for all of them.
    """

    hidden: int = 128
    vocab: int = 65
    nodes: int = 8
    mean: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("hidden", "vocab", "nodes"):
            if getattr(self, name) < 1:
                raise SpaceError(f"{name}={getattr(self, name)} must be at least 1")
        if not all(1 <= node <= self.nodes for node in self.mean):
            raise SpaceError(f"mean={','.join(map(str, self.mean))} must be nodes, from 1 to {self.nodes}")

    @property
    def concat(self) -> tuple[int, ...]:
        return self.mean or tuple(range(1, self.nodes + 1))

    def decisions(self) -> tuple[Decision, ...]:
        """One for each node, from which state it reads to what it answers: always one edge, as DARTS derives."""
        ops = {act: OpSpec(Highway(act), Shape(1, 1, self.hidden)) for act in ACTIVATIONS}
        found = []
        for i in range(1, self.nodes + 1):
            labels = _labels(i)
            found.append(Decision(f"node{i}", tuple(map(str, labels)), tuple((ops[node.act],) for node in labels)))
        return tuple(found)

    def rules(self) -> tuple[Rule, ...]:
        return ()

    def graph(self, choices: Sequence[int]) -> Graph:
        """What is measured: the step of `genotype_of`'s cell, embedding and decoder apart."""
        drawing = Drawing(Shape(1, 1, 1 + self.hidden))
        x = drawing.add(Embed(self.hidden, self.vocab), INPUT, name="embedding")
        states = [drawing.add(Entry(self.hidden), x, INPUT, name="entry")]
        for i, choice in enumerate(choices, 1):
            node = _labels(i)[choice]
            states.append(drawing.add(Highway(node.act), states[node.reads], name=f"node{i}"))
        mean = drawing.add(Mean(), *(states[i] for i in self.concat), name="state")
        logits = drawing.add(Decode(self.vocab), mean, name="decoder")
        drawing.add(Concat(), logits, mean)
        return drawing.graph()


def _labels(node: int) -> list[CellNode]:
    """What a node can be: state by state, and of each all activations."""
    return [CellNode(act, reads) for reads in range(node) for act in ACTIVATIONS]


def wiring_of(space: SearchSpace) -> RecurrentWiring:
    """The options of a recurrent space; raises SpaceError for any other."""
    wiring = getattr(space, "wiring", None)
    if not isinstance(wiring, RecurrentWiring):
        raise SpaceError(f"space {space.name}: not a space of recurrent cells, which is asked for here")
    return wiring


def genotype_of(space: SearchSpace, choices: Sequence[int]) -> Genotype:
    """The cell of one label for each node."""
    nodes = tuple(_labels(i)[choice] for i, choice in enumerate(choices, 1))
    return Genotype(nodes, wiring_of(space).concat)


def choices_of(space: SearchSpace, genotype: Genotype) -> tuple[int, ...]:
    """The labels of a cell; raises SpaceError where it has other nodes than the space."""
    wiring = wiring_of(space)
    if (len(genotype.nodes), genotype.concat) != (wiring.nodes, wiring.concat):
        raise SpaceError(f"{genotype}: not of the {wiring.nodes} nodes of {space.name}, {wiring.concat} in the mean")
    return tuple(_labels(i).index(node) for i, node in enumerate(genotype.nodes, 1))
