from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cells import EDGE_OPERATIONS, Cell, CellFrame, Edge, cell_network
from pipeline.genotypes import GENOTYPES, Genotype
from pipeline.space import SpaceError
from profilers.graph import Graph
from profilers.shape import Shape


def network(name: str, *, image: int, filters: int, layers: int, stem_stride: Literal[1, 8]) -> Graph:
    frame = CellFrame(Shape(image, image, 3), filters, layers, 10 if stem_stride == 1 else 1000, stem_stride)
    return cell_network(frame, GENOTYPES[name].normal, GENOTYPES[name].reduce)


@pytest.mark.parametrize(
    ("name", "cifar", "imagenet"),
    [
        ("darts-v1", (3_169_414, 500_987_520), (4_510_432, 505_864_704)),
        ("darts-v2", (3_349_342, 528_359_040), (4_718_752, 529_911_552)),
        ("pc-darts-cifar", (3_634_678, 556_670_592), (5_270_560, 571_137_408)),
        ("snas-moderate", (2_847_358, 440_687_232), (4_312_576, 465_607_872)),
        ("nasnet", (3_830_950, 603_452_448), (5_564_320, 604_031_616)),
        ("amoebanet", (3_145_078, 488_931_552), (4_627_360, 526_746_624)),
    ],
)
def test_published_genotypes_come_out_exact(name: str, cifar: tuple[int, int], imagenet: tuple[int, int]) -> None:
    small = network(name, image=32, filters=36, layers=20, stem_stride=1)
    large = network(name, image=224, filters=48, layers=14, stem_stride=8)
    assert (small.params, small.macs) == cifar
    assert (large.params, large.macs) == imagenet


def test_nasnet_has_the_size_that_darts_compares_itself_with() -> None:
    assert network("nasnet", image=32, filters=32, layers=20, stem_stride=1).params == 3_061_738


@pytest.mark.parametrize("name", GENOTYPES)
@torch.no_grad()
def test_a_network_of_cells_has_the_weights_that_are_counted_and_gives_logits(name: str) -> None:
    graph = network(name, image=16, filters=4, layers=5, stem_stride=1)
    module = graph.module().eval()
    assert sum(parameter.numel() for parameter in module.parameters()) == graph.params
    assert module(torch.zeros(2, 3, 16, 16)).shape == (2, 10)


@torch.no_grad()
def test_the_stem_of_imagenet_takes_odd_sizes_too() -> None:
    graph = network("darts-v2", image=75, filters=4, layers=3, stem_stride=8)
    assert graph.module().eval()(torch.zeros(1, 3, 75, 75)).shape == (1, 1000)


@st.composite
def cells(draw: st.DrawFn) -> Cell:
    count = draw(st.integers(1, 5))
    names = st.sampled_from(sorted(EDGE_OPERATIONS))
    nodes = [
        tuple(Edge(draw(names), draw(st.integers(0, place - 1))) for _ in range(2)) for place in range(2, 2 + count)
    ]
    return Cell(tuple(nodes), tuple(draw(st.lists(st.integers(0, 1 + count), min_size=1, unique=True))))


@given(st.builds(Genotype, cells(), cells()))
def test_a_genotype_is_read_back_from_either_form(genotype: Genotype) -> None:
    assert Genotype.parse(str(genotype)) == Genotype.parse(genotype.json()) == genotype


def test_a_genotype_is_read_as_darts_prints_it() -> None:
    text = """Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1),
        ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6),
        reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0),
        ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"""
    assert Genotype.parse(text) == GENOTYPES["darts-v2"]


CELL = "[('skip_connect', 0), ('skip_connect', 1)]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a genotype"),
        ("Genotype(1)", r"write Genotype\(normal="),
        ("open('x')", r"write Genotype\(normal="),
        ("Genotype(normal=open('x'))", "malformed node"),
        ("Genotype(normal=range(10**9))", "is not a range of states|malformed node"),
        (f"Genotype(normal={CELL})", "it has the fields normal, normal_concat, reduce, reduce_concat"),
        ('{"normal": 1, "normal_concat": [2], "reduce": [], "reduce_concat": [2]}', "normal: give pairs"),
        ('{"normal": [["nap", 0], ["nap", 1]], "normal_concat": [2], "reduce": [], "reduce_concat": [2]}', "'nap'"),
        (f"Genotype(normal={CELL}, normal_concat=[2], reduce={CELL}, reduce_concat=[3])", r"reduce: concat \[3\]"),
        (f"Genotype(normal={CELL}, normal_concat=['a'], reduce={CELL}, reduce_concat=[2])", "normal_concat: give"),
        (
            f"Genotype(normal={CELL[:-1]}, ('skip_connect', 0)], normal_concat=[2], reduce={CELL}, reduce_concat=[2])",
            "two",
        ),
        (
            f"Genotype(normal={CELL.replace('1', '2')}, normal_concat=[2], reduce={CELL}, reduce_concat=[2])",
            "normal: node 2: reads state 2; there are 0 to 1",
        ),
    ],
)
def test_a_bad_genotype_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        Genotype.parse(text)


@given(st.text() | st.text().map("Genotype({})".format) | st.text().map("{{{}}}".format))
def test_any_text_is_a_genotype_or_a_space_error_of_one_line(text: str) -> None:
    assert "\n" not in problem_of(text)


def problem_of(text: str) -> str:
    try:
        Genotype.parse(text)
    except SpaceError as error:
        return str(error)
    return ""
