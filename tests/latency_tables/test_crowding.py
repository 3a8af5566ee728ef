from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise, product
from statistics import mean, median

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import Calibration, MeasuredNetwork, Prediction, calibrate
from latency_tables.crowding import UNCROWDED, Crowding
from profilers.op_spec import OpSpec

OPS = tuple(
    OpSpec.parse(f"mbconv in=8x8x{width} out={width} kernel={kernel} expand={expand}")
    for width, kernel, expand in product((8, 16), (3, 5), (1, 3, 6))
)
ALONE_MS = {op: 0.05 + op.macs / 1e6 for op in OPS}
CROWDINGS = st.builds(Crowding, capacity_ms=st.floats(0, 10), surcharge=st.floats(0, 2))
LATENCIES = st.floats(1e-3, 100)


def networks(crowding: Crowding, seed: int, count: int = 40, noise: float = 0.01) -> tuple[MeasuredNetwork, ...]:
    """Of operations that add a tenth more than they take alone, crowded."""
    rng = random.Random(seed)
    chains = [tuple(rng.choices(OPS, k=rng.randint(4, 12))) for _ in range(count)]
    return tuple(
        MeasuredNetwork(
            name=str(place),
            ops=chain,
            measured_ms=crowding.latency_ms(1.1 * sum(map(ALONE_MS.__getitem__, chain))) * rng.gauss(1, noise),
            spread=0.01,
        )
        for place, chain in enumerate(chains)
    )


def typical_ms(seed: int) -> float:
    return median(network.measured_ms for network in networks(UNCROWDED, seed))


def learned(crowding: Crowding, seed: int) -> tuple[Calibration, tuple[MeasuredNetwork, ...]]:
    """What 20 networks teach, and 20 others."""
    known = networks(crowding, seed)
    return calibrate(ALONE_MS, known[:20]), known[20:]


def error(calibration: Calibration, fresh: tuple[MeasuredNetwork, ...]) -> float:
    return mean(abs(calibration.predict(network.ops).ms / network.measured_ms - 1) for network in fresh)


@given(CROWDINGS, LATENCIES)
def test_a_sum_is_found_again_from_the_latency_it_makes(crowding: Crowding, ms: float) -> None:
    assert crowding.sum_ms(crowding.latency_ms(ms)) == pytest.approx(ms)
    assert crowding.latency_ms(ms) >= ms >= crowding.sum_ms(ms)
    assert UNCROWDED.latency_ms(ms) == UNCROWDED.sum_ms(ms) == ms


@given(CROWDINGS, st.lists(LATENCIES, min_size=3, max_size=9, unique=True).map(sorted))
def test_latency_grows_with_the_sum_and_ever_faster(crowding: Crowding, sums_ms: list[float]) -> None:
    points = [(ms, crowding.latency_ms(ms)) for ms in sums_ms]
    slopes = [(high - low) / (more - less) for (less, low), (more, high) in pairwise(points)]
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise([1.0, *slopes]))


@given(CROWDINGS, st.lists(LATENCIES, min_size=1, max_size=5))
def test_numbers_arrays_and_tensors_are_crowded_alike(crowding: Crowding, sums_ms: list[float]) -> None:
    one_by_one = list(map(crowding.latency_ms, sums_ms))
    assert crowding.latency_ms(np.array(sums_ms)) == pytest.approx(one_by_one)
    assert crowding.latency_ms(torch.tensor(sums_ms)).tolist() == pytest.approx(one_by_one)


@pytest.mark.parametrize("seed", range(4))
def test_networks_that_crowd_the_caches_show_it(seed: int) -> None:
    planted = Crowding(capacity_ms=typical_ms(seed), surcharge=0.4)
    calibration, fresh = learned(planted, seed)
    assert calibration.crowding.surcharge == pytest.approx(0.4, abs=0.15)
    assert error(calibration, fresh) < 0.02 < error(replace(calibration, crowding=UNCROWDED), fresh)
    known_ms = [network.measured_ms for network in networks(planted, seed)[:20]]
    assert calibration.left_out_ms == pytest.approx(known_ms, rel=0.1)


def test_networks_that_crowd_nothing_hardly_ever_seem_to() -> None:
    found = [learned(UNCROWDED, seed)[0].crowding for seed in range(12)]
    assert sum(crowding != UNCROWDED for crowding in found) <= 1


@given(CROWDINGS, LATENCIES, st.floats(0.01, 0.3), st.floats(0.5, 0.99))
def test_an_interval_is_what_crowding_makes_of_that_of_the_sum(
    crowding: Crowding, ms: float, spread: float, confidence: float
) -> None:
    sums = Prediction(sum_ms=ms, sd_ms=spread * ms)
    crowded = replace(sums, crowding=crowding)
    assert crowded.ms == crowding.latency_ms(sums.ms)
    assert crowded.at_most_ms(confidence) == crowding.latency_ms(sums.at_most_ms(confidence))
