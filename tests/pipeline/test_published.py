from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.architecture import Architecture
from pipeline.published import PUBLISHED, load_network
from pipeline.space import SpaceError
from profilers.errors import FileError


@pytest.mark.parametrize(
    ("name", "params", "macs"),
    [
        ("proxylessnas-mobile", 4_080_512, 320_427_584),
        ("proxylessnas-cpu", 4_361_648, 439_243_864),
        ("mobilenet-v2", 3_504_872, 300_774_272),
    ],
)
def test_published_networks_come_out_exact(name: str, params: int, macs: int) -> None:
    network = load_network(name)
    assert (network.params, network.macs) == (params, macs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_network_survives_its_file(name: str, tmp_path: Path) -> None:
    load_network(name).save(tmp_path / "network.json")
    assert load_network(str(tmp_path / "network.json")) == Architecture.load(tmp_path / "network.json")
    assert load_network(str(tmp_path / "network.json")) == load_network(name)


def test_an_unknown_network_lists_the_known_ones() -> None:
    with pytest.raises(SpaceError, match=r"'resnet-50': .*proxylessnas-mobile, proxylessnas-cpu, mobilenet-v2"):
        load_network("resnet-50")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileError, match=r"nowhere\.json: no such architecture"):
        load_network("nowhere.json")
