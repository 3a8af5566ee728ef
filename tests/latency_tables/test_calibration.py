from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from math import inf, nan
from statistics import mean

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from latency_tables.calibration import LEAST_SHARE, Calibration, MeasuredNetwork, Prediction, calibrate
from profilers.op_spec import OpSpec

OPS = tuple(
    OpSpec.parse(f"mbconv in={size}x{size}x{width} out={width} kernel={kernel} expand={expand}")
    for size, width, kernel, expand in product((8, 16), (8, 16), (3, 5), (1, 3, 6))
)
SKIP = OpSpec.parse("identity in=8x8x8")
SEEDS = st.integers(0, 10**6)
few = settings(max_examples=8)  # one calibration takes a hundredth of a second or more


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A device on which networks cost what was planted: a base and, for each operation, other than it does alone."""

    alone_ms: Mapping[OpSpec, float]
    base_ms: float
    true_ms: Mapping[OpSpec, float]
    networks: tuple[MeasuredNetwork, ...]
    fresh: tuple[MeasuredNetwork, ...]

    def network_ms(self, ops: Sequence[OpSpec]) -> float:
        return self.base_ms + sum(self.true_ms[op] for op in ops)


def planted(seed: int, *, networks: int = 14, fresh: int = 12, noise: float | None = None) -> World:
    """A factor for all, an overhead for each, deviations of their own, all within what is believed of a device."""
    rng = random.Random(seed)
    alone_ms = {op: 0.03 + (op.macs / 1e6) ** 0.7 * rng.uniform(0.7, 1.3) for op in OPS}
    least_ms = min(alone_ms.values())
    scale, own = min(1.6, max(0.4, rng.gauss(1, 0.3))), rng.choice((0.02, 0.04, 0.08))
    call_ms, base_ms = rng.gauss(0, 0.3) * least_ms, abs(rng.gauss(0, 0.5)) * least_ms
    noise = rng.choice((0.005, 0.01, 0.02)) if noise is None else noise
    true_ms = {op: scale * ms * rng.gauss(1, own) + call_ms for op, ms in alone_ms.items()}

    def measured(name: str) -> MeasuredNetwork:
        ops = tuple(rng.choices(OPS, k=rng.randint(4, 10)))
        exact_ms = base_ms + sum(true_ms[op] for op in ops)
        return MeasuredNetwork(name=name, ops=ops, measured_ms=exact_ms * rng.gauss(1, noise), spread=0.01)

    return World(
        alone_ms=alone_ms,
        base_ms=base_ms,
        true_ms=true_ms,
        networks=tuple(measured(f"{i}") for i in range(networks)),
        fresh=tuple(measured(f"fresh {i}") for i in range(fresh)),
    )


@cache
def found(seed: int, networks: int) -> tuple[World, Calibration]:
    """A planted world and what so many of its networks teach of it."""
    world = planted(seed)
    return world, calibrate(world.alone_ms, world.networks[:networks])


def over_worlds(networks: int, told: Callable[[World, Calibration, MeasuredNetwork], float]) -> float:
    """Its mean over the fresh networks of many worlds."""
    worlds = [found(seed, networks) for seed in range(30)]
    return mean(told(world, calibration, fresh) for world, calibration in worlds for fresh in world.fresh)


def relative_width(world: World, calibration: Calibration, fresh: MeasuredNetwork) -> float:
    low_ms, high_ms = calibration.predict(fresh.ops).interval_ms(0.9)
    return (high_ms - low_ms) / world.network_ms(fresh.ops)


def is_covered(_world: World, calibration: Calibration, fresh: MeasuredNetwork) -> bool:
    low_ms, high_ms = calibration.predict(fresh.ops).interval_ms(0.9)
    return low_ms <= fresh.measured_ms <= high_ms


def error(world: World, calibration: Calibration, fresh: MeasuredNetwork) -> float:
    return abs(calibration.predict(fresh.ops).ms / world.network_ms(fresh.ops) - 1)


def test_fresh_networks_of_planted_worlds_are_foretold() -> None:
    assert over_worlds(0, error) > 0.1  # the plain sum
    assert over_worlds(4, error) < 0.04
    assert over_worlds(14, error) < 0.02


@pytest.mark.parametrize("seed", range(3))
def test_without_noise_or_whims_what_was_planted_is_found_to_a_percent(seed: int) -> None:
    world = planted(seed, noise=0.0)
    true_ms = {op: 1.2 * ms + 0.01 for op, ms in world.alone_ms.items()}
    exact = [replace(each, measured_ms=0.02 + sum(true_ms[op] for op in each.ops)) for each in world.networks]
    calibration = calibrate(world.alone_ms, exact)
    for fresh in world.fresh:
        assert calibration.predict(fresh.ops).ms == pytest.approx(0.02 + sum(true_ms[op] for op in fresh.ops), rel=0.01)


@pytest.mark.parametrize("networks", [0, 8, 14])
def test_nine_measurements_in_ten_lie_within_their_90_percent_interval(networks: int) -> None:
    assert 0.82 <= over_worlds(networks, is_covered) <= 0.97


def test_after_few_networks_intervals_are_rather_too_wide_than_too_narrow() -> None:
    assert over_worlds(4, is_covered) >= 0.9


def test_more_networks_make_narrower_intervals() -> None:
    widths = [over_worlds(networks, relative_width) for networks in (0, 4, 14)]
    assert widths[0] > 2 * widths[1] > 2.5 * widths[2]


def test_noisier_networks_leave_more_doubt() -> None:
    quiet, loud = (planted(3, noise=noise) for noise in (0.001, 0.05))
    widths = [
        relative_width(world, calibrate(world.alone_ms, world.networks), quiet.fresh[0]) for world in (quiet, loud)
    ]
    assert widths[1] > 2 * widths[0]


def test_without_networks_the_sum_is_plain_and_its_interval_wide() -> None:
    world, calibration = found(0, 0)
    assert calibration.base_ms == 0
    for fresh in world.fresh:
        plain_ms = sum(world.alone_ms[op] for op in fresh.ops)
        assert calibration.predict(fresh.ops).ms == pytest.approx(plain_ms)
        assert calibration.predict(fresh.ops).at_most_ms(0.95) > 1.4 * plain_ms


@few
@given(SEEDS, st.integers(1, 16))
def test_networks_that_cost_the_plain_sum_change_no_cost(seed: int, networks: int) -> None:
    world = planted(seed, networks=networks)
    plain = [replace(each, measured_ms=sum(world.alone_ms[op] for op in each.ops)) for each in world.networks]
    calibration = calibrate(world.alone_ms, plain)
    assert calibration.base_ms == pytest.approx(0, abs=1e-9)
    assert [calibration.op_ms(op) for op in OPS] == pytest.approx(list(world.alone_ms.values()))
    assert calibration.left_out_ms == pytest.approx([each.measured_ms for each in plain])


@few
@given(SEEDS, st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12))
def test_whatever_networks_say_every_operation_keeps_a_share_of_its_cost_alone(seed: int, told: list[float]) -> None:
    world = planted(seed, networks=len(told))
    networks = [replace(each, measured_ms=ms) for each, ms in zip(world.networks, told, strict=True)]
    calibration = calibrate(world.alone_ms, networks)
    assert calibration.base_ms >= 0
    assert all(calibration.op_ms(op) >= LEAST_SHARE * ms for op, ms in world.alone_ms.items())


@few
@given(SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_networks_and_of_operations_says_nothing(seed: int, rng: random.Random) -> None:
    world = planted(seed, networks=5, fresh=3)
    alone_ms = dict(rng.sample(sorted(world.alone_ms.items(), key=str), len(OPS)))
    networks = [replace(each, ops=tuple(rng.sample(each.ops, len(each.ops)))) for each in world.networks]
    order = rng.sample(range(5), 5)
    one, other = calibrate(world.alone_ms, world.networks), calibrate(alone_ms, [networks[place] for place in order])
    for fresh in world.fresh:
        assert same(other.predict(fresh.ops[::-1]), one.predict(fresh.ops))
    assert other.left_out_ms == pytest.approx([one.left_out_ms[place] for place in order], rel=1e-6)


@few
@given(SEEDS, st.floats(1e-3, 1e3))
def test_another_unit_of_time_changes_predictions_by_that_unit_and_nothing_else(seed: int, unit: float) -> None:
    world = planted(seed, networks=5, fresh=3)
    networks = [replace(each, measured_ms=unit * each.measured_ms) for each in world.networks]
    one = calibrate(world.alone_ms, world.networks)
    other = calibrate({op: unit * ms for op, ms in world.alone_ms.items()}, networks)
    assert other.noise == pytest.approx(one.noise)
    for fresh in world.fresh:
        assert same(other.predict(fresh.ops), scaled(one.predict(fresh.ops), unit))


@few
@given(SEEDS, st.integers(1, 6))
def test_a_network_left_out_is_foretold_as_if_it_had_not_been_measured(seed: int, networks: int) -> None:
    world = planted(seed, networks=networks)
    *left_out, left_out_ms = calibrate(world.alone_ms, world.networks).left_out_ms
    others = calibrate(world.alone_ms, world.networks[:-1])
    assert len(left_out) == len(others.left_out_ms)
    assume(networks == 1 or others.base_ms > 0)  # left out, nothing is kept above its least
    assert left_out_ms == pytest.approx(others.predict(world.networks[-1].ops).ms, rel=1e-6)


@few
@given(SEEDS, st.floats(0.5, 2))
def test_a_network_has_no_say_in_its_own_prediction_but_in_the_others(seed: int, factor: float) -> None:
    world = planted(seed, networks=4)
    first, *others = world.networks
    one = calibrate(world.alone_ms, world.networks).left_out_ms
    other = calibrate(world.alone_ms, [replace(first, measured_ms=factor * first.measured_ms), *others]).left_out_ms
    assert other[0] == pytest.approx(one[0], rel=1e-6)
    assert other[1:] != one[1:] or factor == 1


@few
@given(SEEDS, st.integers(0, 6), st.floats(0.1, 1))
def test_an_inferred_cost_widens_the_intervals_of_networks_that_use_it(seed: int, networks: int, doubt: float) -> None:
    world = planted(seed, networks=networks)
    others = [each for each in world.networks if OPS[-1] not in each.ops]  # one that holds it may settle the doubt
    sure, unsure = (calibrate(world.alone_ms, others, told) for told in ({}, {OPS[-1]: doubt}))
    chain = (*world.fresh[0].ops, OPS[-1])
    assert unsure.predict(chain).sd_ms > sure.predict(chain).sd_ms
    assert unsure.predict(chain).ms == pytest.approx(sure.predict(chain).ms)


def test_doubt_of_an_operation_widens_no_network_that_does_without_it() -> None:
    world = planted(0, networks=0)
    sure, unsure = (calibrate(world.alone_ms, (), doubt) for doubt in ({}, {OPS[0]: 0.5}))
    assert same(unsure.predict(OPS[1:]), sure.predict(OPS[1:]))


def test_networks_teach_what_was_inferred_wrongly() -> None:
    world = planted(1, noise=0.005)
    inferred = {op: 2 * ms if op == OPS[-1] else ms for op, ms in world.alone_ms.items()}
    unsure, sure = (calibrate(inferred, world.networks, doubt) for doubt in ({OPS[-1]: 0.5}, {}))
    off = [mean(error(world, calibration, fresh) for fresh in world.fresh) for calibration in (unsure, sure)]
    assert unsure.op_ms(OPS[-1]) == pytest.approx(world.true_ms[OPS[-1]], rel=0.05)
    assert off[0] < off[1]


@given(st.floats(1e-3, 1e3), st.floats(0, 1), st.floats(0.01, 0.98), st.floats(0.001, 0.01))
def test_an_interval_lies_around_the_prediction_and_grows_with_confidence(
    ms: float, relative_sd: float, confidence: float, more: float
) -> None:
    prediction = Prediction(sum_ms=ms, sd_ms=relative_sd * ms)
    low_ms, high_ms = prediction.interval_ms(confidence)
    lower_ms, higher_ms = prediction.interval_ms(confidence + more)
    assert 0 <= lower_ms <= low_ms <= ms <= high_ms <= higher_ms
    assert prediction.at_most_ms(confidence) <= prediction.at_most_ms(confidence + more)
    assert prediction.at_most_ms((1 + confidence) / 2) == pytest.approx(high_ms)


def test_an_interval_is_that_of_the_normal_distribution() -> None:
    prediction = Prediction(sum_ms=10.0, sd_ms=1.0)
    assert prediction.interval_ms() == pytest.approx((8.355, 11.645), abs=1e-3)
    assert prediction.at_most_ms(0.5) == 10
    assert Prediction(sum_ms=1.0, sd_ms=1.0).interval_ms()[0] == 0


@pytest.mark.parametrize("confidence", [-0.1, 0, 1, 90, nan])
def test_what_is_no_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="does not lie between 0 and 1"):
        Prediction(sum_ms=1.0, sd_ms=0.1).at_most_ms(confidence)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"measured_ms": 0.0}, "measured_ms=0.0"),
        ({"measured_ms": -1.0}, "measured_ms=-1.0"),
        ({"measured_ms": nan}, "measured_ms=nan"),
        ({"measured_ms": inf}, "measured_ms=inf"),
        ({"spread": -0.1}, "spread=-0.1"),
        ({"spread": nan}, "spread=nan"),
        ({"ops": ()}, "ops must be operations that are not free, one at least"),
        ({"ops": (OPS[0], SKIP)}, "ops must be operations that are not free"),
    ],
)
def test_what_no_network_can_have_shown_is_no_evidence(wrong: dict[str, object], problem: str) -> None:
    told = {"name": "n", "ops": OPS[:1], "measured_ms": 1.0, "spread": 0.0} | wrong
    with pytest.raises(ValueError, match=f"n: .*{problem}"):
        MeasuredNetwork(**told)  # type: ignore[arg-type]


def scaled(prediction: Prediction, unit: float) -> Prediction:
    return replace(prediction, sum_ms=unit * prediction.sum_ms, sd_ms=unit * prediction.sd_ms)


def same(one: Prediction, other: Prediction) -> bool:
    return (one.ms, one.sd_ms) == pytest.approx((other.ms, other.sd_ms), rel=1e-6)
