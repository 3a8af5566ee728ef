from __future__ import annotations

from math import inf, nan

import pytest

from profilers.errors import MillisError
from profilers.protocol import IMPORTED, PROTOCOLS, Protocol, Statistic, protocol_named


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_is_found_by_its_name_and_describes_itself(name: str) -> None:
    protocol = protocol_named(name)
    assert protocol.describe().startswith(f"{name}: ")
    assert f"{protocol.rounds} to {protocol.max_rounds} bursts" in protocol.describe()


def test_the_final_protocol_is_as_long_as_mlperf_mobile_asks_and_counts_the_90th_percentile() -> None:
    final = PROTOCOLS["final"]
    assert final.rounds * final.runs >= 1024
    assert final.rounds * final.burst_ms >= 60_000
    assert (final.statistic, final.cooldown_s > 0) == ("p90", True)


@pytest.mark.parametrize("statistic", ["mean", "median", "p90"])
def test_the_protocol_of_an_imported_table_claims_no_more_than_its_source_tells(statistic: Statistic) -> None:
    assert Protocol(name=IMPORTED, statistic=statistic).describe() == f"imported: {statistic}, as its source tells it"


def test_no_preset_is_called_what_imported_tables_are() -> None:
    assert IMPORTED not in PROTOCOLS
    assert "mean" not in {protocol.statistic for protocol in PROTOCOLS.values()}  # nothing here measures one


def test_an_unknown_protocol_is_told_with_those_there_are() -> None:
    with pytest.raises(MillisError, match="no protocol 'hasty'; there are: quick, standard, final"):
        protocol_named("hasty")


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"rounds": 0}, "rounds=0 must be at least 1"),
        ({"rounds": 11}, "max_rounds=10 is less than rounds=11"),
        ({"runs": 0}, "runs=0 must be at least 1"),
        ({"max_runs": 9}, "max_runs=9 is less than runs=10"),
        ({"bursts_per_sentinel": 0}, "bursts_per_sentinel=0"),
        ({"warmup_runs": -1}, "warmup_runs=-1"),
        ({"burst_ms": inf}, "burst_ms=inf"),
        ({"steady_spread": nan}, "steady_spread=nan"),
        ({"drift": -0.1}, "drift=-0.1"),
    ],
)
def test_numbers_under_which_nothing_is_measured_are_refused(numbers: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Protocol(name="odd", **numbers)  # type: ignore[arg-type]
