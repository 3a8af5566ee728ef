from __future__ import annotations

import shlex
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.errors import MissingOpError
from latency_tables.table import Latency, LatencyTable, Source, build_table
from profilers.environment import Environment
from profilers.errors import EnvironmentMismatchError, MillisError
from profilers.measurement import Burst, Measurement
from profilers.op_spec import OpSpec
from profilers.protocol import IMPORTED, PROTOCOLS, Protocol, Statistic
from profilers.target import Target

TARGET = Target(runtime="litert", threads=2)
PROTOCOL = PROTOCOLS["quick"]
HERE = Environment({"cpu": "Imaginary 3000"})
STEM = OpSpec.parse("conv in=8x8x3 out=8 kernel=3")
SMALL = OpSpec.parse("mbconv in=8x8x8 out=8")
LARGE = OpSpec.parse("mbconv in=8x8x8 out=8 kernel=5 expand=6")
HEAD = OpSpec.parse("classifier in=8x8x8 out=10")
SKIP = OpSpec.parse("identity in=8x8x8")
ZERO = OpSpec.parse("zero in=8x8x8")
NETWORK = (STEM, SMALL, SKIP, LARGE, HEAD)


def took(*medians_ms: float, environment: Environment = HERE) -> Measurement:
    bursts = tuple(Burst(round=i, times_ms=(ms, ms)) for i, ms in enumerate(medians_ms))
    return Measurement(key="op", sha256="0", bursts=bursts, environment=environment, steady_spread=0.03)


MEASURED = {STEM: took(0.5, 0.5), SMALL: took(0.25, 0.25), LARGE: took(1.5, 1.5), HEAD: took(0.125, 0.125)}


WITHOUT = build_table(TARGET, PROTOCOL, MEASURED)
WITH_NETWORKS = build_table(
    TARGET,
    PROTOCOL,
    MEASURED,
    [("n", NETWORK, took(2.85)), ("small", (STEM, SMALL, HEAD), took(1.05)), ("large", (LARGE, LARGE), took(3.6))],
)
DRIFTED = replace(WITH_NETWORKS, drift=0.1)


def test_a_table_holds_the_statistics_of_what_was_measured() -> None:
    table = build_table(TARGET, PROTOCOL, {SMALL: took(1.0, 1.0, 2.0, 2.0)})
    assert table[SMALL] == Latency(median_ms=1.5, p90_ms=2.0, spread=1 / 1.5, samples=8, verdict="noisy")
    assert (table.target, table.protocol, table.environment) == (TARGET, PROTOCOL, HERE)
    assert table.noisy == (SMALL,)


def test_measurements_of_different_environments_make_no_table() -> None:
    moved = took(0.2, 0.2, environment=Environment({"cpu": "Imaginary 4000"}))
    with pytest.raises(EnvironmentMismatchError, match=r"operation mbconv .*'Imaginary 4000' against 'Imaginary 3000'"):
        build_table(TARGET, PROTOCOL, MEASURED | {SMALL: moved})
    with pytest.raises(EnvironmentMismatchError, match=r"network n: .*'Imaginary 4000'"):
        build_table(TARGET, PROTOCOL, MEASURED, [("n", NETWORK, moved)])


def test_a_network_is_kept_with_the_operations_that_take_time() -> None:
    [network] = build_table(TARGET, PROTOCOL, MEASURED, [("n", NETWORK, took(2.0, 2.2))]).networks
    assert (network.name, network.ops) == ("n", (STEM, SMALL, LARGE, HEAD))
    assert network.measured_ms == pytest.approx(2.1)
    assert network.spread > 0


def test_a_table_is_added_to_and_what_is_measured_again_replaced() -> None:
    first = build_table(TARGET, PROTOCOL, MEASURED, [("n", NETWORK, took(2.0)), ("m", NETWORK, took(2.1))], space="s")
    wide = OpSpec.parse("classifier in=8x8x8 out=100")
    again = [("m", NETWORK, took(2.3)), ("o", (wide,), took(0.2))]
    table = build_table(TARGET, PROTOCOL, {wide: took(0.2), SMALL: took(0.3)}, again, base=first)
    assert list(table.entries) == [*MEASURED, wide]
    assert table.alone_ms(SMALL) == 0.3
    assert [(each.name, each.measured_ms) for each in table.networks] == [("n", 2.0), ("m", 2.3), ("o", 0.2)]
    assert table.space == "s"


def test_a_table_predicts_the_network_it_was_calibrated_on() -> None:
    table = build_table(TARGET, PROTOCOL, MEASURED, [("n", NETWORK, took(1.6, 1.6))])
    assert table.network_ms(NETWORK) == pytest.approx(1.6, rel=0.02)
    assert table.plain_ms(NETWORK) == pytest.approx(2.375)


def test_a_network_of_an_operation_that_was_not_measured_makes_no_table() -> None:
    with pytest.raises(ValueError, match=r"n: 'mbconv .*kernel=5.*' stands in it, but not in the table"):
        build_table(TARGET, PROTOCOL, {SMALL: took(1.0, 1.0)}, [("n", (SMALL, LARGE), took(2.0))])


@pytest.mark.parametrize("entries", [(), (SKIP,), (SKIP, ZERO)])
def test_a_table_of_no_operation_that_takes_time_is_none(table: LatencyTable, entries: tuple[OpSpec, ...]) -> None:
    with pytest.raises(ValueError, match="entries: no operation that takes time"):
        replace(table, entries=dict.fromkeys(entries, table[SMALL]), networks=())


CHAINS = st.lists(st.sampled_from([STEM, SMALL, LARGE, HEAD, SKIP, ZERO]), max_size=8)


@given(CHAINS, st.booleans())
def test_a_network_costs_a_base_and_what_each_operation_adds(chain: list[OpSpec], with_networks: bool) -> None:
    table = WITH_NETWORKS if with_networks else WITHOUT
    base_ms = table.network_ms(())
    assert table.network_ms(chain) == pytest.approx(base_ms + sum(map(table.op_ms, chain)))
    assert table.network_ms(iter(chain)) == pytest.approx(table.predict(iter(chain)).ms)
    assert table.predict(()).ms == base_ms


@given(CHAINS)
def test_without_networks_a_table_predicts_the_plain_sum(chain: list[OpSpec]) -> None:
    assert WITHOUT.network_ms(chain) == pytest.approx(WITHOUT.plain_ms(chain))
    assert WITHOUT.plain_ms(chain) == pytest.approx(sum(map(WITHOUT.alone_ms, chain)))
    assert all(WITHOUT.op_ms(op) == pytest.approx(WITHOUT.alone_ms(op)) for op in chain)


def test_an_operation_alone_is_not_what_it_adds_to_a_network() -> None:
    assert [WITH_NETWORKS.alone_ms(op) for op in MEASURED] == [0.5, 0.25, 1.5, 0.125]
    assert WITH_NETWORKS.op_ms(LARGE) > 1.1 * 1.5  # networks take a fifth more than their sums


@pytest.mark.parametrize(("statistic", "factor"), [("median", 1.0), ("p90", 2.0), ("mean", 1.5)])
def test_the_protocols_statistic_is_what_an_operation_costs(statistic: Statistic, factor: float) -> None:
    protocol = Protocol(name=IMPORTED, statistic=statistic)
    entries = {
        op: Latency(median_ms=ms, p90_ms=2 * ms, mean_ms=1.5 * ms, spread=0.0, samples=9, verdict="steady")
        for op, ms in ((SMALL, 0.25), (LARGE, 1.5))
    }
    table = LatencyTable(target=TARGET, environment=HERE, protocol=protocol, entries=entries)
    assert table.alone_ms(SMALL) == table.op_ms(SMALL) == factor * 0.25
    assert table.network_ms([SMALL, LARGE]) == pytest.approx(factor * 1.75)


def test_an_entry_that_does_not_know_what_counts_is_refused() -> None:
    known = Latency(mean_ms=1.0, spread=0.0, samples=9, verdict="steady")
    with pytest.raises(ValueError, match=r"'mbconv in=8x8x8 out=8 .*': its median is not known"):
        LatencyTable(target=TARGET, environment=HERE, protocol=PROTOCOL, entries={SMALL: known})
    with pytest.raises(ValueError, match="its p90 is not known"):
        known.ms("p90")


def test_what_was_inferred_is_told_and_widens_the_interval(table: LatencyTable) -> None:
    guess = replace(table[LARGE], source="inferred", samples=0, spread=0.4)
    unsure = replace(table, entries={**table.entries, LARGE: guess}, networks=())
    assert (unsure.inferred, table.inferred) == ((LARGE,), ())
    assert "4 operations, 1 noisy, 1 inferred, not calibrated" in unsure.summary()
    assert unsure.predict([LARGE]).sd_ms > 1.2 * replace(table, networks=()).predict([LARGE]).sd_ms
    assert unsure.predict([SMALL]).sd_ms == pytest.approx(replace(table, networks=()).predict([SMALL]).sd_ms)


@given(CHAINS, CHAINS, st.floats(0.5, 0.99), st.booleans())
def test_a_tangent_is_what_is_not_exceeded_of_its_own_network_and_no_more_of_others(
    chain: list[OpSpec], other: list[OpSpec], confidence: float, drifted: bool
) -> None:
    table = DRIFTED if drifted else WITH_NETWORKS
    base_ms, cost_ms = table.tangent(chain, confidence)

    def told_ms(ops: list[OpSpec]) -> float:
        return base_ms + sum(cost_ms[op] for op in ops if not op.free)

    assert told_ms(chain) == pytest.approx(table.predict(chain).at_most_ms(confidence))
    assert told_ms(other) <= table.predict(other).at_most_ms(confidence) + 1e-9


def test_how_far_the_devices_speed_moved_is_kept_and_widens_intervals_but_moves_no_latency() -> None:
    calm, moved = (Burst(round=0, times_ms=(1.0, 1.0), level=level) for level in (1.0, 1.1))
    bursts = (calm, calm, moved, moved)
    wavy = replace(took(1.0), bursts=bursts)
    table = build_table(TARGET, PROTOCOL, {SMALL: wavy})
    assert table.drift == pytest.approx(0.1 / 1.349)
    assert build_table(TARGET, PROTOCOL, {LARGE: took(1.5)}, base=table).drift == table.drift
    still = replace(table, drift=0.0)
    assert table.predict([SMALL]).ms == still.predict([SMALL]).ms
    assert table.predict([SMALL]).sd_ms ** 2 == pytest.approx(
        still.predict([SMALL]).sd_ms ** 2 + (table.drift * table.network_ms([SMALL])) ** 2
    )


@pytest.mark.parametrize("drift", [-0.1, nan, inf])
def test_a_drift_that_is_no_deviation_is_refused(table: LatencyTable, drift: float) -> None:
    with pytest.raises(ValueError, match=f"drift={drift}"):
        replace(table, drift=drift)


@pytest.mark.parametrize("free", [SKIP, ZERO])
def test_a_free_operation_costs_nothing_and_needs_no_entry(table: LatencyTable, free: OpSpec) -> None:
    assert table.op_ms(free) == table.alone_ms(free) == 0
    assert table.network_ms([*NETWORK, free]) == table.network_ms(NETWORK)
    assert table.predict([*NETWORK, free]) == table.predict(NETWORK)


def test_an_entry_of_a_free_operation_is_harmless(table: LatencyTable) -> None:
    other = replace(table, entries={**table.entries, SKIP: table[SMALL]})
    assert (other.alone_ms(SKIP), other.op_ms(SKIP)) == (0, 0)
    assert other.network_ms([*NETWORK, SKIP]) == pytest.approx(table.network_ms(NETWORK))


def test_an_unmeasured_op_is_an_error_not_zero(table: LatencyTable) -> None:
    other = OpSpec.parse("mbconv in=8x8x8 out=8 kernel=7")
    asks = (table.__getitem__, table.alone_ms, table.op_ms)
    asks_of_networks = (table.network_ms, table.plain_ms, table.predict)
    for ask in (*asks, *(lambda op, of=of: of([SMALL, op]) for of in asks_of_networks)):
        with pytest.raises(MissingOpError, match=r"operation 'mbconv in=8x8x8 out=8 kernel=7 .* was not measured on"):
            ask(other)


OPS = st.builds(
    "{} in={}x{}x8 out={} kernel={}".format,
    st.sampled_from(["conv", "mbconv"]),
    st.integers(1, 64),
    st.integers(1, 64),
    st.integers(9, 64),
    st.sampled_from([1, 3, 5]),
).map(OpSpec.parse)
TARGETS = st.builds(Target, runtime=st.sampled_from(["litert", "onnxruntime"]), threads=st.integers(1, 8))
PATHS = st.none() | st.sampled_from(["t.yaml", "my tables/it's mine.yaml"]).map(Path)


@given(OPS, TARGETS, PATHS)
def test_a_missing_operation_is_told_with_the_command_that_measures_it(
    op: OpSpec, target: Target, path: Path | None
) -> None:
    table = replace(build_table(target, PROTOCOL, MEASURED), path=path)
    with pytest.raises(MissingOpError) as missing:
        table[op]
    command = shlex.split(str(missing.value).partition("measure it with: ")[2])
    assert command[:2] == ["millis", "profile"]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert OpSpec.parse(options["--op"]) == op
    assert Target.parse(options["--target"]) == target
    assert options["-o"] == str(path or f"{target.slug}.yaml")


def test_an_operation_missing_from_an_imported_table_is_told_without_a_command_that_could_not_help() -> None:
    entries = {SMALL: Latency(mean_ms=1.0, spread=0.0, samples=0, verdict="steady", source="imported")}
    protocol = Protocol(name=IMPORTED, statistic="mean")
    table = LatencyTable(target=TARGET, environment=HERE, protocol=protocol, entries=entries, path=Path("t.yaml"))
    with pytest.raises(MissingOpError, match=r"^t\.yaml: operation 'conv .* only its source could") as missing:
        table[STEM]
    assert "millis profile" not in str(missing.value)


def test_a_missing_operation_is_a_look_up_that_the_command_line_can_tell(table: LatencyTable) -> None:
    with pytest.raises(MissingOpError) as missing:
        table[SKIP]
    assert isinstance(missing.value, LookupError)
    assert isinstance(missing.value, MillisError)
    assert "\n" not in str(missing.value)


def test_a_summary_tells_how_much_is_noisy_and_how_well_networks_are_predicted(table: LatencyTable) -> None:
    head = "local:litert?threads=2: 4 operations, 1 noisy"
    left_out_ms = table.calibration.left_out_ms
    off = sum(abs(ms / each.measured_ms - 1) for ms, each in zip(left_out_ms, table.networks, strict=True)) / 3
    assert table.summary() == (
        f"{head}, 3 networks, each predicted from the others, off by {off:.1%} (plain sums by 20.1%)"
    )
    assert replace(table, networks=()).summary() == f"{head}, not calibrated on whole networks"


@pytest.mark.parametrize(
    "wrong",
    [
        {"median_ms": 0.0},
        {"median_ms": -1.0},
        {"median_ms": nan},
        {"median_ms": inf},
        {"mean_ms": 0.0},
        {"mean_ms": nan},
        {"p90_ms": 0.0},
        {"spread": nan},
        {"spread": -0.1},
        {"spread": inf},
        {"samples": 0},
        {"samples": -1},
    ],
)
def test_what_no_clock_can_have_shown_is_no_latency(table: LatencyTable, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}="):
        replace(table[SMALL], **wrong)  # type: ignore[arg-type]


def test_a_latency_of_which_nothing_is_known_is_none() -> None:
    with pytest.raises(ValueError, match="one of median_ms, mean_ms, p90_ms must be known"):
        Latency(spread=0.0, samples=1, verdict="steady")


@pytest.mark.parametrize("source", ["inferred", "imported"])
def test_only_what_was_measured_here_needs_samples(source: Source) -> None:
    latency = Latency(mean_ms=1.0, spread=0.1, samples=0, verdict="steady", source=source)
    assert (latency.ms("mean"), latency.samples) == (1.0, 0)
    with pytest.raises(ValueError, match="samples=-1"):
        replace(latency, samples=-1)
