from __future__ import annotations

import shlex
from dataclasses import replace
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.calibration import Calibration
from latency_tables.errors import MissingOpError
from latency_tables.table import Latency, LatencyTable, build_table
from profilers.environment import Environment
from profilers.errors import EnvironmentMismatchError, MillisError
from profilers.measurement import Burst, Measurement
from profilers.op_spec import OpSpec
from profilers.protocol import PROTOCOLS
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


def test_a_network_is_measured_beside_the_plain_sum_of_its_operations() -> None:
    [network] = build_table(TARGET, PROTOCOL, MEASURED, [("n", NETWORK, took(2.0, 2.2))]).calibration.networks
    assert (network.name, network.ops, network.sum_ms) == ("n", 4, 2.375)
    assert network.measured_ms == pytest.approx(2.1)
    assert network.spread > 0


def test_a_table_predicts_the_network_it_was_calibrated_on() -> None:
    table = build_table(TARGET, PROTOCOL, MEASURED, [("n", NETWORK, took(1.6, 1.6))])
    assert table.network_ms(NETWORK) == pytest.approx(1.6, rel=1e-3)


def test_a_network_of_an_operation_that_was_not_measured_calibrates_nothing() -> None:
    with pytest.raises(MissingOpError, match="kernel=5"):
        build_table(TARGET, PROTOCOL, {SMALL: took(1.0, 1.0)}, [("n", (SMALL, LARGE), took(2.0))])


def test_an_operation_costs_its_calibrated_time_and_a_network_the_sum(table: LatencyTable) -> None:
    assert table.op_ms(LARGE) == pytest.approx(2 * 1.5 - 0.2)
    assert table.network_ms(NETWORK) == pytest.approx(0.1 + 2 * 2.375 - 4 * 0.2)


@pytest.mark.parametrize("free", [SKIP, ZERO])
def test_a_free_operation_costs_nothing_and_needs_no_entry(table: LatencyTable, free: OpSpec) -> None:
    assert table.op_ms(free) == 0
    assert table.network_ms([*NETWORK, free]) == table.network_ms(NETWORK)


def test_an_unmeasured_op_is_an_error_not_zero(table: LatencyTable) -> None:
    other = OpSpec.parse("mbconv in=8x8x8 out=8 kernel=7")
    for ask in (table.__getitem__, table.op_ms, lambda op: table.network_ms([op])):
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


def test_a_missing_operation_is_a_look_up_that_the_command_line_can_tell(table: LatencyTable) -> None:
    with pytest.raises(MissingOpError) as missing:
        table[SKIP]
    assert isinstance(missing.value, LookupError)
    assert isinstance(missing.value, MillisError)
    assert "\n" not in str(missing.value)


def test_a_summary_tells_how_much_is_noisy_and_how_well_networks_are_predicted(table: LatencyTable) -> None:
    text = table.summary()
    assert text.startswith("local:litert?threads=2: 4 operations, 1 noisy, 1 networks, each predicted from the others")
    assert replace(table, calibration=Calibration()).summary().endswith("1 noisy, not calibrated on whole networks")


def test_no_calibration_may_leave_an_operation_no_cost(table: LatencyTable) -> None:
    with pytest.raises(ValueError, match=r"calibration: with it 'classifier .*' would cost -0.05 ms"):
        replace(table, calibration=Calibration(per_op_ms=-0.175))


@pytest.mark.parametrize(
    "wrong",
    [
        {"median_ms": 0.0},
        {"median_ms": -1.0},
        {"median_ms": nan},
        {"median_ms": inf},
        {"p90_ms": 0.0},
        {"spread": nan},
        {"spread": -0.1},
        {"samples": 0},
    ],
)
def test_what_no_clock_can_have_shown_is_no_latency(table: LatencyTable, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}="):
        replace(table[SMALL], **wrong)  # type: ignore[arg-type]
