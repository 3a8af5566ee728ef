from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.architecture import Architecture
from pipeline.space import SpaceError, require_chain
from pipeline.spaces import SPACES, parse_space
from profilers.blocks import build_chain
from profilers.errors import FileError

SPACE = require_chain(parse_space("mbconv-8"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "architecture.json"
    Architecture.uniform(SPACE, "k3e6").save(path)
    return path


@pytest.mark.parametrize("name", SPACES)
def test_an_architecture_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    architecture = Architecture.random(parse_space(name), Random(7))
    architecture.save(tmp_path / "a.json")
    assert Architecture.load(tmp_path / "a.json") == architecture


def test_the_file_is_read_by_people_too(file: Path) -> None:
    document = json.loads(file.read_text())
    assert list(document) == ["schema", "space", "choices"]
    assert document["space"] == "mbconv-8"
    assert document["choices"]["stage1.block2"] == "k3e6"


@given(st.integers(0, 2**32))
def test_operations_follow_one_another_from_image_to_logits(seed: int) -> None:
    ops = Architecture.random(SPACE, Random(seed)).ops()
    assert len(ops) == len(SPACE.layers)
    assert ops[0].in_shape == SPACE.input_shape
    assert all(before.out_shape == after.in_shape for before, after in pairwise(ops))


@given(st.integers(0, 2**32))
def test_labels_choose_the_operations_they_name(seed: int) -> None:
    architecture = Architecture.random(SPACE, Random(seed))
    assert Architecture.from_labels(SPACE, architecture.labels) == architecture
    chosen = {layer.name: op.label for layer, op in zip(SPACE.layers, architecture.ops(), strict=True)}
    assert architecture.labels.items() <= chosen.items()


def test_params_are_those_of_the_built_network() -> None:
    architecture = Architecture.random(SPACE, Random(1))
    network = build_chain(architecture.ops())
    assert architecture.params == sum(p.numel() for p in network.parameters())


def test_removing_a_layer_removes_its_cost() -> None:
    labels = Architecture.uniform(SPACE, "k5e6").labels
    full, short = (Architecture.from_labels(SPACE, labels | {"stage2.block2": x}) for x in ("k5e6", "identity"))
    removed = next(layer for layer in SPACE.layers if layer.name == "stage2.block2").candidates[full.choices[3]]
    assert full.macs - short.macs == removed.macs > 0


def test_random_architectures_are_uniform_over_the_candidates() -> None:
    rng = Random(0)
    counts = Counter(Architecture.random(SPACE, rng).labels["stage1.block2"] for _ in range(5000))
    assert sorted(counts) == sorted(SPACE.decisions[1].labels)
    assert all(900 < count < 1100 for count in counts.values())


def test_the_same_seed_draws_the_same_architecture() -> None:
    assert Architecture.random(SPACE, Random(3)) == Architecture.random(SPACE, Random(3))


@pytest.mark.parametrize("choices", [(), (0,) * 6, (0,) * 8, (0,) * 6 + (9,), (-1,) * 7])
def test_choices_outside_the_space_are_refused(choices: tuple[int, ...]) -> None:
    with pytest.raises(SpaceError, match="choice"):
        Architecture(SPACE, choices)


def test_a_label_that_not_every_decision_has_is_refused() -> None:
    with pytest.raises(SpaceError, match=r"stage1\.block1: no candidate 'identity'; there are k3e1"):
        Architecture.uniform(SPACE, "identity")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"schema": 1', '"schema": 2', "schema: this architecture is of version 2"),
        ('"mbconv-8"', '"mbconv-9"', "space: no search space 'mbconv-9'; there are"),
        ('"space"', '"spice"', "spice: no such field|space: field required|space: missing"),
        ('"stage1.block1"', '"stage9.block1"', r"choices\.stage9\.block1: mbconv-8 decides no such layer"),
        ('"stage1.block1": "k3e6",', "", r"choices\.stage1\.block1: missing; choose one of k3e1"),
        ('"stage1.block1": "k3e6"', '"stage1.block1": "k9e9"', r"choices\.stage1\.block1: no candidate 'k9e9'; there"),
        ('"stage1.block1": "k3e6"', '"stage1.block1": 3', r"choices\.stage1\.block1: input should be a valid string"),
        ("{", "", "not JSON"),
    ],
)
def test_a_bad_file_is_named_with_its_field(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(FileError, match=rf"architecture\.json: ({message})"):
        Architecture.load(file)
