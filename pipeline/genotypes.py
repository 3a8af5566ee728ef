"""Pairs of cells as DARTS writes them, in its text form and as JSON, and those that papers published."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pipeline.cells import KINDS, Cell, Edge
from pipeline.space import SpaceError


@dataclass(frozen=True, slots=True)
class Genotype:
    """A normal cell and one that halves the image."""

    normal: Cell
    reduce: Cell

    def __str__(self) -> str:
        """As DARTS writes it: `Genotype(normal=[('sep_conv_3x3', 1), …], normal_concat=[2, 3, 4, 5], …)`."""
        return f"Genotype({', '.join(f'{name}={value}' for name, value in _fields(self).items())})"

    def json(self) -> str:
        return json.dumps(_fields(self))

    @staticmethod
    def parse(text: str) -> Genotype:
        """Read either form, two edges for each node; raises SpaceError saying what is wrong."""
        try:
            fields = json.loads(text) if text.lstrip().startswith("{") else _read_call(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
            raise SpaceError(f"not a genotype: {' '.join(str(error).split())}") from None
        wanted = {each for kind in KINDS for each in (kind, f"{kind}_concat")}
        if not isinstance(fields, dict) or set(fields) != wanted:
            raise SpaceError(f"not a genotype: it has the fields {', '.join(sorted(wanted))}, and no others")
        normal, reduce = (_cell(kind, fields) for kind in KINDS)
        return Genotype(normal, reduce)


def _fields(genotype: Genotype) -> dict[str, list[tuple[str, int]] | list[int]]:
    found: dict[str, list[tuple[str, int]] | list[int]] = {}
    for kind, cell in zip(KINDS, (genotype.normal, genotype.reduce), strict=True):
        found[kind] = [(operation, state) for edges in cell.nodes for operation, state in edges]
        found[f"{kind}_concat"] = list(cell.concat)
    return found


def _read_call(text: str) -> dict[str, object]:
    """The arguments of `Genotype(…)`: literals, or ranges of whole numbers. Nothing is executed."""
    call = ast.parse(text.strip(), mode="eval").body
    named = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Genotype"
    if not named or call.args or any(each.arg is None for each in call.keywords):  # type: ignore[attr-defined]
        raise ValueError("write Genotype(normal=[('sep_conv_3x3', 1), …], normal_concat=[2, 3, 4, 5], reduce=…)")
    return {str(each.arg): _read_value(each.value) for each in cast("ast.Call", call).keywords}


def _read_value(value: ast.expr) -> object:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "range":
        bounds = [ast.literal_eval(each) for each in value.args]
        if not all(isinstance(each, int) and abs(each) < 100 for each in bounds):
            raise ValueError(f"{ast.unparse(value)} is not a range of states")
        return list(range(*bounds))
    return ast.literal_eval(value)


def _cell(kind: str, fields: Mapping[str, object]) -> Cell:
    edges, concat = fields[kind], fields[f"{kind}_concat"]
    if not isinstance(edges, Sequence) or not all(map(_is_edge, edges)) or len(edges) % 2:
        raise SpaceError(f"{kind}: give pairs of an operation's name and the number of a state, two for each node")
    if not isinstance(concat, Sequence) or not all(_is_state(each) for each in concat):
        raise SpaceError(f"{kind}_concat: give a list of the numbers of states")
    made = [Edge(str(operation), int(state)) for operation, state in cast("Sequence[tuple[str, int]]", edges)]
    try:
        return Cell(tuple(zip(made[::2], made[1::2], strict=True)), tuple(map(int, concat)))
    except SpaceError as error:
        raise SpaceError(f"{kind}: {error}") from None


def _is_edge(value: object) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 2 and isinstance(value[0], str) and _is_state(value[1])


def _is_state(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_NAMES = {
    "s3": "sep_conv_3x3",
    "s5": "sep_conv_5x5",
    "s7": "sep_conv_7x7",
    "d3": "dil_conv_3x3",
    "d5": "dil_conv_5x5",
    "mx": "max_pool_3x3",
    "av": "avg_pool_3x3",
    "id": "skip_connect",
    "7x1": "conv_7x1_1x7",
}


def _published(normal: str, reduce: str, normal_concat: str = "2 3 4 5", reduce_concat: str = "2 3 4 5") -> Genotype:
    """Cells in short: `s3,1` is a separable convolution that reads state 1; two for each node."""
    cells = []
    for words, concat in ((normal, normal_concat), (reduce, reduce_concat)):
        edges = [Edge(_NAMES[word.split(",")[0]], int(word.split(",")[1])) for word in words.split()]
        cells.append(Cell(tuple(zip(edges[::2], edges[1::2], strict=True)), tuple(map(int, concat.split()))))
    return Genotype(*cells)


GENOTYPES = {
    # arXiv:1806.09055, first and second order
    "darts-v1": _published(
        "s3,1 s3,0  id,0 s3,1  id,0 s3,1  s3,0 id,2",
        "mx,0 mx,1  id,2 mx,0  mx,0 id,2  id,2 av,0",
    ),
    "darts-v2": _published(
        "s3,0 s3,1  s3,0 s3,1  s3,1 id,0  id,0 d3,2",
        "mx,0 mx,1  id,2 mx,1  mx,0 id,2  id,2 mx,1",
    ),
    "pc-darts-cifar": _published(  # arXiv:1907.05737
        "s3,1 id,0  s3,0 d3,1  s5,0 s3,1  av,0 d3,1",
        "s5,1 mx,0  s5,1 s5,2  s3,0 s3,3  s3,1 s3,2",
    ),
    "snas-moderate": _published(  # arXiv:1812.09926
        "d5,0 id,1  s3,0 id,1  id,0 id,1  s3,0 d5,1",
        "mx,0 mx,1  s5,0 d5,1  s5,0 s5,1  s5,0 s5,1",
    ),
    # Cells of arXiv:1707.07012 and 1802.01548 as DARTS writes them
    "nasnet": _published(
        "s5,1 s3,0  s5,0 s3,0  av,1 id,0  av,0 av,0  s3,1 id,1",
        "s5,1 s7,0  mx,1 s7,0  av,1 s5,0  id,3 av,2  s3,2 mx,1",
        normal_concat="2 3 4 5 6",
        reduce_concat="4 5 6",
    ),
    "amoebanet": _published(
        "av,0 mx,1  s3,0 s5,2  s3,0 av,3  s3,1 id,1  id,0 av,1",
        "av,0 s3,1  mx,0 s7,2  s7,0 av,1  mx,0 mx,1  7x1,0 s3,5",
        normal_concat="4 5 6",
        reduce_concat="3 4 6",
    ),
    # arXiv:1912.07651, for CIFAR-10, CIFAR-100 and ImageNet
    "unas-cifar10": _published(
        "s5,0 id,0  id,0 d3,1  s3,0 d3,1  s3,1 d3,0",
        "s3,0 s5,0  id,1 s3,0  av,1 id,0  s5,3 av,1",
    ),
    "unas-cifar100": _published(
        "s3,0 d3,0  d3,1 s3,0  id,0 s3,1  s5,1 s3,0",
        "s7,0 s3,0  s3,1 s5,0  s7,1 d3,0  d3,0 s3,3",
    ),
    "unas-imagenet": _published(
        "s3,0 id,0  s3,0 id,1  s3,1 s5,0  s3,0 d3,1",
        "s5,0 s3,1  s5,0 s3,1  s5,1 d3,0  d3,3 s3,1",
    ),
    # arXiv:1802.03268, the micro search space
    "enas": _published(
        "av,0 s3,0  id,0 s5,0  id,0 s5,1  s3,1 s5,0  av,0 s5,1",
        "s3,1 s3,1  mx,0 av,0  s5,1 s5,3  s3,1 id,0  mx,0 s5,1",
        normal_concat="2 3 4 5 6",
        reduce_concat="2 4 5 6",
    ),
    # The same as their authors wire them, and PNASNet's (arXiv:1712.00559): for their own frame
    "nasnet-a": _published(
        "s5,1 s3,0  s5,0 s3,0  av,1 id,0  av,0 av,0  s3,1 id,1",
        "s5,1 s7,0  mx,1 s7,0  av,1 s5,0  id,3 av,2  s3,2 mx,1",
        normal_concat="0 2 3 4 5 6",
        reduce_concat="3 4 5 6",
    ),
    "pnasnet-5": _published(
        "s5,0 mx,0  s7,1 mx,1  s5,1 s3,1  s3,4 mx,1  s3,0 id,1",
        "s5,0 mx,0  s7,1 mx,1  s5,1 s3,1  s3,4 mx,1  s3,0 id,1",
        normal_concat="2 3 4 5 6",
        reduce_concat="2 3 4 5 6",
    ),
    "amoebanet-a": _published(
        "av,1 mx,1  s3,0 id,0  id,1 av,0  s3,1 s5,2  av,5 s3,1",
        "s3,0 av,1  mx,1 s7,2  mx,0 mx,1  s3,4 7x1,1  av,0 s7,1",
        normal_concat="0 3 4 6",
        reduce_concat="2 3 4 5 6",
    ),
}
