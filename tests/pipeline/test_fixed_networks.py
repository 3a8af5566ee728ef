"""Networks of genotypes, which leave nothing to decide, in DARTS's frame and in NASNet's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pipeline.architecture import Architecture
from pipeline.genotypes import GENOTYPES
from pipeline.space import SpaceError
from pipeline.spaces import parse_space

SMALL = {
    "phone": "nasnet?resolution=75&classes=5&filters=8&layers=3&stem=4",
    "phone, in place": "nasnet?resolution=65&classes=5&filters=9&layers=3&stem=4&in_place=1",
    "cifar": "nasnet?resolution=16&channels=1&classes=5&filters=8&layers=3&stem=6&stem_cells=0",
    "cifar, ENAS's": "nasnet?resolution=16&channels=1&classes=5&filters=8&layers=3&stem=6&stem_cells=0&based=1",
    "darts": "genotype?resolution=16&channels=1&classes=5&filters=4&layers=3",
}


@pytest.mark.parametrize("frame", SMALL)
@pytest.mark.parametrize("cells", ["nasnet-a", "pnasnet-5", "amoebanet-a", "enas"])
@torch.no_grad()
def test_a_fixed_network_is_built_as_it_is_counted(cells: str, frame: str) -> None:
    space = parse_space(f"{SMALL[frame]}&cells={cells}")
    network = Architecture(space, ())
    module = network.graph().module().eval()
    height, width, channels = space.input_shape
    assert module(torch.zeros(2, channels, height, width)).shape == (2, 5)
    assert sum(parameter.numel() for parameter in module.parameters()) == network.params


@pytest.mark.parametrize("frame", SMALL)
def test_a_fixed_network_is_the_only_one_of_its_space_and_survives_its_file(frame: str, tmp_path: Path) -> None:
    space = parse_space(SMALL[frame])
    Architecture(space, ()).save(tmp_path / "network.json")
    assert space.size == 1 and not space.decisions
    assert Architecture.load(tmp_path / "network.json").graph() == space.graph(())


def test_cells_may_be_given_as_the_text_of_a_genotype() -> None:
    named, given = (
        parse_space(f"genotype?cells={cells}") for cells in ("pc-darts-cifar", GENOTYPES["pc-darts-cifar"].json())
    )
    assert named.graph(()) == given.graph(())
    assert parse_space(given.name) == given


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nasnet?cells=nasnet-b", "no genotype 'nasnet-b'; there are darts-v1, darts-v2"),
        ("genotype?cells={}", "not a genotype: it has the fields"),
        ("genotype?layers=0", "layers=0 must be from 3 to"),
        ("genotype?stem_stride=2", "stem_stride=2 must be 1, as for CIFAR, or 8, as for ImageNet"),
        ("nasnet?filters=3", "filters=3 must be from 4 to"),
        ("nasnet?stem_cells=1", "stem_cells=1 must be 0, as for CIFAR, or 2, as for ImageNet"),
        ("nasnet?in_place=2", "in_place=2 must be 0 or 1"),
        ("nasnet?based=2", "based=2 must be 0 or 1"),
        ("nasnet?resolution=2", "resolution=2 must be from 3 to"),
        ("nasnet?cells=pc-darts-cifar", "operation dil_conv_3x3 has no place in NASNet's frame"),
    ],
)
def test_a_bad_fixed_network_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        parse_space(text)
