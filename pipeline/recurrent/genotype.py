"""The genotype of a recurrent cell: what each node reads and how it answers, and which nodes are averaged."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import get_args

from profilers.errors import MillisError
from profilers.recurrent_ops import CellActivation

ACTIVATIONS: tuple[CellActivation, ...] = get_args(CellActivation)

_NODE = re.compile(r"(\w+)<(\d+)")


class GenotypeError(MillisError):
    """A genotype that no cell has."""


@dataclass(frozen=True, slots=True)
class CellNode:
    """`act` of the state number `reads`; 0 is what the entry gives, i the node number i."""

    act: CellActivation
    reads: int

    def __str__(self) -> str:
        return f"{self.act}<{self.reads}"


@dataclass(frozen=True, slots=True)
class Genotype:
    """Nodes 1, 2, …, and the numbers of those whose mean is the next state; written `tanh<0 relu<1 -> 1 2`."""

    nodes: tuple[CellNode, ...]
    concat: tuple[int, ...]

    def __post_init__(self) -> None:
        for number, node in enumerate(self.nodes, 1):
            if node.act not in ACTIVATIONS:
                raise GenotypeError(f"node {number}: no activation {node.act!r}; there are {', '.join(ACTIVATIONS)}")
            if not 0 <= node.reads < number:
                raise GenotypeError(f"node {number} reads {node.reads}, but only 0 to {number - 1} come before it")
        if not self.concat or not all(1 <= number <= len(self.nodes) for number in self.concat):
            raise GenotypeError(f"the mean is of nodes {list(self.concat)}, of which there are 1 to {len(self.nodes)}")

    @staticmethod
    def parse(text: str) -> Genotype:
        """Read `tanh<0 relu<1`, with `-> 2` where not all nodes are averaged; raises GenotypeError."""
        written, arrow, averaged = text.partition("->")
        nodes = []
        for word in written.split():
            match = _NODE.fullmatch(word)
            if match is None or match[1] not in ACTIVATIONS:
                raise GenotypeError(f"{word!r} is not a node; write ACTIVATION<STATE, as in tanh<0 relu<1")
            nodes.append(CellNode(match[1], int(match[2])))
        if arrow and not all(word.isascii() and word.isdigit() for word in averaged.split()):
            raise GenotypeError(f"{averaged.strip()!r} are not numbers of nodes")
        concat = tuple(map(int, averaged.split())) if arrow else tuple(range(1, len(nodes) + 1))
        return Genotype(tuple(nodes), concat)

    def __str__(self) -> str:
        written = " ".join(map(str, self.nodes))
        everything = tuple(range(1, len(self.nodes) + 1))
        return written if self.concat == everything else f"{written} -> {' '.join(map(str, self.concat))}"


# The published cells (arXiv:1806.09055; ENAS's, arXiv:1802.03268, in this form).
PUBLISHED = {
    "darts-rnn-v1": Genotype.parse("relu<0 relu<1 tanh<2 relu<3 relu<4 identity<1 relu<5 relu<1"),
    "darts-rnn-v2": Genotype.parse("sigmoid<0 relu<1 relu<1 identity<1 tanh<2 sigmoid<5 tanh<3 relu<5"),
    "enas-rnn": Genotype.parse(
        "tanh<0 tanh<1 relu<1 tanh<3 tanh<3 relu<3 relu<4 relu<7 relu<8 relu<8 relu<8 -> 2 5 6 9 10 11"
    ),
}


def genotype_named(text: str) -> Genotype:
    """A published cell by its name, or one that is written out; raises GenotypeError."""
    return PUBLISHED[text] if text in PUBLISHED else Genotype.parse(text)


def count_params(vocab: int, size: int, nodes: int) -> int:
    """Trainable scalars of a language model with tied weights, embedding as wide as its state."""
    return vocab * size + vocab + (2 * size) ** 2 + nodes * size * 2 * size
