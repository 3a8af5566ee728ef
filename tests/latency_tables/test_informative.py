from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import Calibration, MeasuredNetwork, calibrate
from latency_tables.informative import most_informative, typical_doubt, typical_half_width
from profilers.op_spec import OpSpec

OPS = [OpSpec.parse(f"mbconv in=8x8x{width} out=8 kernel={kernel}") for width in (8, 16, 24) for kernel in (3, 5, 7)]
ALONE_MS = {op: 0.1 * (1 + place) for place, op in enumerate(OPS)}


def drawn(rng: Random, count: int) -> list[tuple[OpSpec, ...]]:
    return [tuple(rng.choices(OPS, k=8)) for _ in range(count)]


def measured(chains: list[tuple[OpSpec, ...]], rng: Random, off: float = 0.2) -> list[MeasuredNetwork]:
    """Off their plain sums by up to 20 %, or as told."""
    return [
        MeasuredNetwork(
            name=str(i),
            ops=chain,
            measured_ms=rng.uniform(1 - off, 1 + off) * sum(map(ALONE_MS.__getitem__, chain)),
            spread=0.0,
        )
        for i, chain in enumerate(chains)
    ]


@pytest.fixture(scope="module")
def nothing_known() -> Calibration:
    return calibrate(ALONE_MS, ())


@given(seed=st.integers(0, 99), count=st.integers(0, 12))
def test_candidates_are_chosen_once_each_and_fewer_are_the_first_of_more(
    nothing_known: Calibration, seed: int, count: int
) -> None:
    candidates = drawn(Random(seed), 10)
    chosen = most_informative(nothing_known, candidates, drawn(Random(seed + 1), 20), count)
    assert len(set(chosen)) == len(chosen) == min(count, 10)
    assert most_informative(nothing_known, candidates, drawn(Random(seed + 1), 20), 12)[:count] == chosen


def test_a_network_like_those_to_be_predicted_tells_more_than_one_of_other_operations(
    nothing_known: Calibration,
) -> None:
    others = [tuple(Random(i).choices(OPS[:4], k=8)) for i in range(20)]
    assert most_informative(nothing_known, [tuple(OPS[6:] * 3), tuple(OPS[:4] * 2)], others, 1) == [1]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_chosen_leaves_less_doubt_than_what_is_drawn(nothing_known: Calibration, seed: int) -> None:
    rng = Random(seed)
    candidates, others = drawn(rng, 60), drawn(rng, 40)
    # Exactly their sums, so that what is believed of the noise is the same whichever are measured.
    results = measured(candidates, Random(0), off=0.0)
    chosen = most_informative(nothing_known, candidates, others, 6)
    left = [typical_doubt(calibrate(ALONE_MS, [results[i] for i in places]), others) for places in (chosen, range(6))]
    assert left[0] < left[1]


def test_doubt_is_the_part_of_the_interval_that_is_not_noise(nothing_known: Calibration) -> None:
    others = drawn(Random(1), 30)
    taught = calibrate(ALONE_MS, measured(drawn(Random(2), 12), Random(3)))
    assert typical_doubt(taught, others) < typical_doubt(nothing_known, others)
    assert 1.6 * max(typical_doubt(taught, others), taught.noise) < typical_half_width(taught, others)
