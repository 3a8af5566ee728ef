"""What the words of other projects' tables mean in ours, and ours in theirs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency_tables.errors import TableExportError, TableImportError
from latency_tables.exporting import export_table
from latency_tables.formats import formats, load_format
from latency_tables.importing import Rules, import_table
from latency_tables.table import Latency, LatencyTable
from profilers.environment import Environment
from profilers.mobile_ops import Mix
from profilers.op_spec import OpSpec
from profilers.operations import Activation, Classifier, Conv, MBConv, Pool
from profilers.precision import Precision
from profilers.protocol import IMPORTED, Protocol, Statistic
from profilers.shape import Shape, make_divisible
from profilers.target import Target
from tests.latency_tables.foreign_files import FBNET, GOOD

ImportText = Callable[..., LatencyTable]


@pytest.fixture
def import_text(tmp_path: Path) -> ImportText:
    def read(format_name: str, text: str, *, precision: Precision = "fp32", rules: Rules = Rules()) -> LatencyTable:  # noqa: B008 - frozen
        (tmp_path / "table").write_text(text, encoding="utf-8", newline="")
        target = Target(device="elsewhere:imaginary", runtime="litert", precision=precision)
        return import_table(tmp_path / "table", format_name, target, rules).table

    return read


@pytest.mark.parametrize(
    ("format_name", "statistic", "expected"),
    [
        (
            "proxylessnas",
            "mean",
            {
                "conv in=224x224x3 out=32 kernel=3 stride=2 act=relu6": 4.083755600814664,
                "conv in=7x7x320 out=1280 kernel=1 act=relu6": 3.088623217922607,
                "classifier in=7x7x1280 out=1000": 0.3096415478615071,
                "mbconv in=112x112x16 out=24 kernel=3 stride=2 expand=3 act=relu6": 6.240567073170731,
                "mbconv in=56x56x24 out=24 kernel=5 expand=6 act=relu6": 14.1313,
            },
        ),
        (
            "ofa",
            "mean",
            {
                "pool in=7x7x1152": 0.015270707070707077,
                "conv in=224x224x3 out=24 kernel=3 stride=2 act=hswish": 0.994418,
                "conv in=7x7x192 out=1152 act=hswish": 0.694356,
                "mix in=1x1x1152 out=1536": 0.762458,
                "classifier in=1x1x1536 out=1000": 0.669412,
                "mbconv in=112x112x24 out=24 kernel=3 expand=1 act=relu": 1.7728020000000002,
                "mbconv in=28x28x48 out=96 kernel=5 stride=2 expand=4 act=hswish se=48": 0.985063492063491,
            },
        ),
        (
            "hw_nas_bench",
            "mean",
            {
                "conv in=224x224x3 out=16 kernel=3 stride=2 act=relu": 3.25,
                "mbconv in=56x56x24 out=32 kernel=5 stride=2 expand=6 act=relu": 4.3125,
                "conv in=56x56x24 out=32 stride=2 act=relu": 0.5,
                "pool in=7x7x1984": 0.0625,
                "classifier in=1x1x1984 out=1000": 0.75,
            },
        ),
        (
            "fbnet",
            "median",
            {
                "conv in=224x224x3 out=16 kernel=3 stride=2 act=none": 4.1,
                "classifier in=1x1x1504 out=1000": 0.31,
                "pool in=7x7x1504": 0.031,
            },
        ),
        (
            "plain_csv",
            "median",
            {
                "conv in=224x224x3 out=32 kernel=3 stride=2": 4.25,
                "mbconv in=28x28x24 out=40 kernel=5 stride=2 expand=6 act=hswish se=40": 1.5,
                "pool in=7x7x1280": 0.015625,
                "classifier in=7x7x1280 out=1000": 0.3125,
            },
        ),
    ],
)
def test_every_row_is_an_operation_of_ours_in_milliseconds(
    format_name: str, statistic: str, expected: dict[str, float], import_text: ImportText
) -> None:
    table = import_text(format_name, GOOD[format_name])
    assert table.protocol.statistic == statistic
    assert {op: table.alone_ms(op) for op in table.entries} == pytest.approx(
        {OpSpec.parse(text): ms for text, ms in expected.items()}
    )


def test_every_format_says_what_it_is() -> None:
    assert set(formats()) == set(GOOD)
    assert all(load_format(name).DESCRIPTION and load_format(name).UNIT in {"ms", "us"} for name in formats())


def test_a_format_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(TableImportError, match=r"no format 'nnmeter'; there are: fbnet, hw_nas_bench, ofa"):
        load_format("nnmeter")


def test_spreads_are_standard_deviations_relative_to_the_mean(import_text: ImportText) -> None:
    proxyless = import_text("proxylessnas", GOOD["proxylessnas"])
    assert proxyless[OpSpec.parse("conv in=224x224x3 out=32 kernel=3 stride=2")].spread == pytest.approx(0.1225, 1e-3)
    ofa = import_text("ofa", GOOD["ofa"])
    assert ofa[OpSpec.parse("mix in=1x1x1152 out=1536")].spread == pytest.approx(0.1329, 1e-3)
    fbnet = import_text("fbnet", GOOD["fbnet"])
    # Percentiles 10 and 90 of a normal distribution lie 2.563 standard deviations apart.
    assert fbnet[OpSpec.parse("pool in=7x7x1504")].spread == pytest.approx(3 / 2.563 / 31, 1e-3)


def test_a_latency_from_elsewhere_says_so(import_text: ImportText) -> None:
    latency = import_text("ofa", GOOD["ofa"])[OpSpec.parse("pool in=7x7x1152")]
    assert (latency.source, latency.samples, latency.median_ms) == ("imported", 495, None)


def test_quantised_operators_have_channels_last_and_belong_in_a_table_of_theirs(import_text: ImportText) -> None:
    text = FBNET.replace('"Conv"', '"Int8ConvRelu"').replace("[1, 3, 224, 224]", "[1, 224, 224, 3]").splitlines()[1]
    table = import_text("fbnet", text, precision="int8")
    assert [str(op) for op in table.entries] == ["conv in=224x224x3 out=16 kernel=3 stride=2 act=relu"]
    with pytest.raises(TableImportError, match="of precision int8; name it: --runtime"):
        import_text("fbnet", text)


def test_a_column_that_stands_first_is_what_counts(import_text: ImportText) -> None:
    op = "classifier in=1x1x8 out=2"
    table = import_text("plain_csv", f"p90_ms,op,mean_ms\r\n0.5,{op},0.4\r\n")
    assert (table.protocol.statistic, table.alone_ms(OpSpec.parse(op))) == ("p90", 0.5)


# Export, and back again.

SHAPES = st.builds(Shape, st.integers(2, 64), st.integers(2, 64), st.integers(11, 64))


def blocks(act: Activation, *, least_expand: int = 1) -> st.SearchStrategy[OpSpec]:
    operations = st.builds(
        MBConv,
        st.integers(1, 64),
        st.sampled_from([3, 5, 7]),
        st.integers(1, 2),
        st.integers(least_expand, 10),
        st.just(act),
    )
    return st.builds(OpSpec, operations, SHAPES)


def convs(kernel: int, stride: int, act: Activation) -> st.SearchStrategy[OpSpec]:
    return st.builds(OpSpec, st.builds(Conv, st.integers(1, 64), *map(st.just, (kernel, stride, act))), SHAPES)


def with_squeeze(op: OpSpec) -> OpSpec:
    """The same block with squeeze-excite of the width that Once-for-All gives it."""
    assert isinstance(op.operation, MBConv)
    block = op.operation
    se = make_divisible(op.in_shape.channels * block.expand // 4)
    return OpSpec(MBConv(block.out, block.kernel, block.stride, block.expand, block.act, se), op.in_shape)


CLASSIFIERS = st.builds(OpSpec, st.builds(Classifier, st.integers(1, 2000)), SHAPES)
POOLS = st.builds(OpSpec, st.just(Pool()), SHAPES)
SQUARE_POOLS = st.builds(lambda n, c: OpSpec(Pool(), Shape(n, n, c)), st.integers(1, 64), st.integers(1, 64))
LINEARS = st.builds(
    lambda channels, out: OpSpec(Classifier(out), Shape(1, 1, channels)), st.integers(1, 999), st.integers(1, 999)
)
MIXES = st.builds(OpSpec, st.builds(Mix, st.integers(1, 64)), SHAPES)
OFA_BLOCKS = st.one_of(blocks("relu"), blocks("hswish"))
SAYABLE: dict[str, st.SearchStrategy[OpSpec]] = {
    "proxylessnas": st.one_of(convs(3, 2, "relu6"), convs(1, 1, "relu6"), CLASSIFIERS, blocks("relu6")),
    "ofa": st.one_of(convs(3, 2, "hswish"), convs(1, 1, "hswish"), MIXES, CLASSIFIERS, POOLS, OFA_BLOCKS)
    | OFA_BLOCKS.map(with_squeeze),
    "hw_nas_bench": st.one_of(convs(5, 2, "relu"), convs(1, 1, "relu"), LINEARS, SQUARE_POOLS)
    | blocks("relu", least_expand=2),
    "fbnet": st.one_of(convs(5, 2, "none"), convs(1, 1, "none"), LINEARS, POOLS),
    "plain_csv": st.one_of(convs(5, 3, "none"), CLASSIFIERS, POOLS, OFA_BLOCKS.map(with_squeeze)),
}
TIMES = st.floats(1e-3, 1e3)
SPREADS = st.floats(0, 0.2)
SAMPLES = st.integers(1, 10**6)


def latencies(format_name: str) -> st.SearchStrategy[Latency]:
    """What a format can say of one operation."""
    told: dict[str, st.SearchStrategy[object]] = {"verdict": st.just("steady"), "source": st.just("imported")}
    if format_name in {"proxylessnas", "ofa"}:
        return st.builds(Latency, mean_ms=TIMES, spread=SPREADS, samples=SAMPLES, **told)
    if format_name == "plain_csv":
        return st.builds(Latency, median_ms=TIMES, mean_ms=TIMES, p90_ms=TIMES, spread=SPREADS, samples=SAMPLES, **told)
    if format_name == "hw_nas_bench":
        return st.builds(Latency, mean_ms=TIMES, spread=st.just(0.0), samples=st.just(0), **told)
    return st.builds(
        lambda p50, more, sd: Latency(
            median_ms=p50, p90_ms=p50 * (1 + sd * more), spread=sd, samples=0, verdict="steady", source="imported"
        ),
        TIMES,
        st.floats(0.1, 2.5),
        SPREADS,
    )


def table_of(entries: dict[OpSpec, Latency], statistic: Statistic) -> LatencyTable:
    return LatencyTable(
        target=Target(device="elsewhere:imaginary", runtime="litert"),
        environment=Environment({}),
        protocol=Protocol(name=IMPORTED, statistic=statistic),
        entries=entries,
    )


@pytest.mark.parametrize("format_name", sorted(SAYABLE))
@given(data=st.data())
def test_what_a_format_can_say_comes_back_as_it_was(
    format_name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    entries = data.draw(st.dictionaries(SAYABLE[format_name], latencies(format_name), min_size=1, max_size=5))
    table = table_of(entries, "mean" if format_name in {"proxylessnas", "ofa", "hw_nas_bench"} else "median")
    path = tmp_path_factory.mktemp("exported") / "table"
    path.write_text(export_table(table, format_name).text, encoding="utf-8")
    rules = Rules(unit=load_format(format_name).UNIT, max_spread=1)  # of invented numbers any speed may come
    read = import_table(path, format_name, table.target, rules).table
    assert list(read.entries) == list(entries) and read.protocol == table.protocol
    for op, latency in entries.items():
        assert as_numbers(read[op]) == pytest.approx(as_numbers(latency), rel=1e-9, abs=1e-9)


def as_numbers(latency: Latency) -> dict[str, float]:
    names = ("median_ms", "mean_ms", "p90_ms", "spread", "samples")
    return {name: getattr(latency, name) for name in names if getattr(latency, name) is not None}


@pytest.mark.parametrize(
    ("format_name", "op"),
    [
        ("proxylessnas", "conv in=224x224x3 out=32 kernel=3 stride=2 act=hswish"),
        ("proxylessnas", "conv in=224x224x3 out=32 kernel=5 stride=2"),
        ("proxylessnas", "mbconv in=8x8x8 out=8 se=4"),
        ("proxylessnas", "mbconv in=8x8x8 out=8 expand=12"),
        ("proxylessnas", "pool in=8x8x8"),
        ("ofa", "mbconv in=8x8x16 out=8 act=relu6"),
        ("ofa", "mbconv in=8x8x16 out=8 expand=4 act=relu se=4"),
        ("ofa", "zero in=8x8x8"),
        ("ofa", "mix in=1x1x8 out=8 act=relu"),
        ("hw_nas_bench", "mbconv in=8x8x16 out=8 act=relu"),
        ("hw_nas_bench", "mbconv in=8x8x16 out=8 expand=4 act=relu6"),
        ("hw_nas_bench", "classifier in=8x8x16 out=8"),
        ("hw_nas_bench", "pool in=8x7x16"),
        ("fbnet", "conv in=8x8x16 out=8 act=relu"),
        ("fbnet", "mbconv in=8x8x16 out=8"),
        ("fbnet", "classifier in=8x8x16 out=8"),
    ],
)
def test_what_a_format_cannot_say_is_refused_by_name(format_name: str, op: str) -> None:
    latency = Latency(mean_ms=1.0, spread=0.0, samples=0, verdict="steady", source="imported")
    good = next(iter(load_format(format_name).read(GOOD[format_name]).rows)).op
    spec = OpSpec.parse(op)
    table = table_of({spec: latency, good: latency}, "mean")
    with pytest.raises(TableExportError, match="has no words for 1 of 2 operations: ") as refused:
        export_table(table, format_name)
    assert refused.value.ops == (spec,) and str(spec) in str(refused.value)
    assert export_table(table, format_name, skip_bad=True).left_out == (spec,)


def test_a_measured_spread_is_told_as_the_standard_deviation_it_hints_at() -> None:
    op = OpSpec.parse("classifier in=7x7x8 out=2")
    latency = Latency(median_ms=2.0, p90_ms=2.5, spread=0.1349, samples=9, verdict="steady")
    text = export_table(table_of({op: latency}, "median"), "ofa").text
    assert "mean: 2.0\n" in text and "std: 0.2" in text and "median of each operation" in text
