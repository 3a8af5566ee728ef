"""Pictures of tables: every kind of table has one, and it can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure

from latency_tables.calibration import MeasuredNetwork
from latency_tables.table import Latency, LatencyTable
from pipeline.check_picture import check_picture
from pipeline.checking import CheckedNetwork, TableCheck, fresh_networks
from pipeline.plotting import write_picture
from pipeline.space import SearchSpace
from pipeline.spaces import parse_space
from pipeline.table_costs import by_place, costs_of, op_name
from pipeline.table_pictures import device_picture
from pipeline.two_devices_picture import two_devices_picture
from profilers.errors import MillisError
from profilers.op_spec import OpSpec
from profilers.protocol import IMPORTED
from profilers.target import Target

if TYPE_CHECKING:
    from tests.pipeline.conftest import MakeTable

LONG = Target.parse("local:litert?precision=int8&threads=2&cores=little")
MOBILE = parse_space("proxyless-mobile")
OPS = {
    "one operation": ["classifier in=7x7x1280 out=1000"],
    "one bottleneck": ["mbconv in=14x14x40 out=40 kernel=5 expand=6"],
    "nothing that multiplies": ["classifier in=1x1x8 out=2"],
    "convolutions only": [f"conv in={size}x{size}x16 out=16 kernel=3" for size in (8, 16, 32)],
    "many other operations": [f"conv in=8x8x{channels} out=16 kernel=3" for channels in range(1, 40)],
    "squeeze-excite and hswish": [
        f"mbconv in=14x14x40 out=40 kernel={kernel} expand={expand} act={act} se={se}"
        for kernel in (3, 5, 7)
        for expand in (1, 2, 3, 4, 5, 6, 8)
        for act, se in (("relu6", 0), ("hswish", 0), ("hswish", 16))
    ],
    "images that are not square": [f"mbconv in=96x160x8 out=8 kernel={kernel}" for kernel in (3, 5)],
    "more places than there is room for": [
        f"mbconv in={size}x{size}x8 out=8 kernel={kernel}" for size in range(4, 44) for kernel in (3, 5)
    ],
}


def table_of(make_table: MakeTable, ops: Sequence[str]) -> LatencyTable:
    table = make_table(parse_space("mbconv-8"))
    latency = next(iter(table.entries.values()))
    return replace(table, entries={OpSpec.parse(op): latency for op in ops}, target=LONG)


def imported(table: LatencyTable) -> LatencyTable:
    """The same latencies, told by someone else, some of them doubtful, some inferred."""
    rng = Random(0)
    kinds = [
        {"source": "imported", "samples": 0, "verdict": "steady"},
        {"source": "imported", "samples": 0, "verdict": "noisy"},
        {"source": "inferred", "samples": 0, "verdict": "steady", "spread": 0.2},
    ]
    entries = {op: replace(latency, **rng.choice(kinds)) for op, latency in table.entries.items()}  # type: ignore[arg-type]
    return replace(table, entries=entries, protocol=replace(table.protocol, name=IMPORTED), target=LONG)


def calibrated(table: LatencyTable, space: SearchSpace) -> LatencyTable:
    networks = tuple(
        MeasuredNetwork(
            name=f"network {place}",
            ops=tuple(op for op in network.ops() if not op.free),
            measured_ms=0.8 * table.plain_ms(network.ops()),
            spread=0.01,
        )
        for place, network in enumerate(fresh_networks(space, 4, 0))
    )
    return replace(table, networks=networks)


Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


class Recorder(RendererAgg):
    """Draws, and keeps every text with its box."""

    texts: list[tuple[str, Box]]

    def draw_text(  # type: ignore[override]
        self, gc: Any, x: float, y: float, s: str, prop: Any, angle: float, **more: Any
    ) -> None:
        super().draw_text(gc, x, y, s, prop, angle, **more)  # type: ignore[no-untyped-call]
        width, height, descent = self.get_text_width_height_descent(s, prop, ismath=False)  # type: ignore[no-untyped-call]
        upright = (x, y - height + descent, x + width, y + descent)
        self.texts.append((s, (x - height + descent, y - width, x + descent, y) if angle else upright))


def texts_of(figure: Figure) -> list[tuple[str, Box]]:
    """Every line of text that is drawn."""
    recorder = Recorder(figure.bbox.width, figure.bbox.height, figure.dpi)  # type: ignore[no-untyped-call]
    recorder.texts = []
    figure.draw(recorder)
    return recorder.texts


def unreadable(figure: Figure) -> list[tuple[str, ...]]:
    """Texts that leave the picture, and pairs of texts whose boxes share more than a pixel each way."""
    texts = texts_of(figure)
    width, height = figure.bbox.width, figure.bbox.height
    outside = [(text,) for text, (x0, y0, x1, y1) in texts if min(x0, y0) < -1 or x1 > width + 1 or y1 > height + 1]
    return outside + [
        (one, other)
        for place, (one, a) in enumerate(texts)
        for other, b in texts[place + 1 :]
        if min(a[2], b[2]) - max(a[0], b[0]) > 1 and min(a[3], b[3]) - max(a[1], b[1]) > 1
    ]


@pytest.mark.parametrize("name", OPS)
def test_every_kind_of_table_has_a_picture_that_can_be_read(name: str, make_table: MakeTable) -> None:
    figure = device_picture(table_of(make_table, OPS[name]))
    assert unreadable(figure) == []


@pytest.mark.parametrize("space", ["mbconv-8", "mbconv-64", "proxyless-mobile"])
def test_a_calibrated_table_of_a_space_can_be_read(space: str, make_table: MakeTable) -> None:
    parsed = parse_space(space)
    figure = device_picture(calibrated(make_table(parsed), parsed))
    assert unreadable(figure) == []
    told = {text for text, _ in texts_of(figure)}
    assert {"in a network", "alone", "expansion 6"} <= told


def test_what_is_inferred_or_noisy_is_told_apart(make_table: MakeTable) -> None:
    plain, doubtful = make_table(MOBILE), imported(make_table(MOBILE))
    labels = {"inferred, 90 % interval", "measured, never steady"}
    assert not labels & {text for text, _ in texts_of(device_picture(plain))}
    figure = device_picture(doubtful)
    assert labels <= {text for text, _ in texts_of(figure)}
    assert unreadable(figure) == []


def test_a_picture_says_how_the_numbers_were_obtained(make_table: MakeTable) -> None:
    told = " ".join(text for text, _ in texts_of(device_picture(make_table(MOBILE))))
    for phrase in ("local:onnxruntime", "Imaginary 3000", "onnxruntime 1.0", "fp32", "1 thread", "protocol quick"):
        assert phrase in told


def test_two_devices_side_by_side_can_be_read(make_table: MakeTable) -> None:
    first = make_table(MOBILE)
    second = make_table(MOBILE, lambda op: 0.3 + op.cost.elements_moved / 1e6, target=str(LONG))
    for other in (second, replace(second, entries=dict(list(second.entries.items())[:1]))):
        figure = two_devices_picture(first, other)
        assert unreadable(figure) == []
        assert f"dearer on {LONG}" in {text for text, _ in texts_of(figure)}


def test_tables_that_share_no_operation_are_not_drawn_together(make_table: MakeTable) -> None:
    with pytest.raises(MillisError, match="no operation stands in both"):
        two_devices_picture(make_table(MOBILE), make_table(parse_space("mbconv-8")))


@pytest.mark.parametrize(("count", "miss"), [(1, 0.01), (2, 0.0), (40, 0.02), (40, 0.3)])
def test_predicted_against_measured_can_be_read(count: int, miss: float, make_table: MakeTable) -> None:
    table = replace(calibrated(make_table(MOBILE), MOBILE), target=LONG)
    rng = Random(0)
    checked = tuple(
        CheckedNetwork(
            architecture=network,
            prediction=table.predict(network.ops()),
            plain_ms=table.plain_ms(network.ops()),
            measured_ms=table.network_ms(network.ops()) * rng.gauss(1, miss),
            again_ms=table.network_ms(network.ops()),
            spread=0.01,
            verdict="steady",
        )
        for network in fresh_networks(MOBILE, count, 1)
    )
    check = TableCheck(
        table=table, space=MOBILE.name, seed=1, protocol=table.protocol, networks=checked, known_ms=((1.0, 1.01),)
    )
    figure = check_picture(check)
    assert unreadable(figure) == []


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_table_gives_the_same_picture(suffix: str, make_table: MakeTable, tmp_path: Path) -> None:
    paths = tmp_path / f"one{suffix}", tmp_path / f"other{suffix}"
    for path in paths:
        write_picture(device_picture(make_table(parse_space("mbconv-8"))), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_of_too_many_places_the_costliest_are_shown_in_their_order(make_table: MakeTable) -> None:
    table = table_of(make_table, OPS["more places than there is room for"])
    entries = {op: Latency(median_ms=op.macs, spread=0, samples=1, verdict="steady") for op in table.entries}
    places = by_place(costs_of(replace(table, entries=entries)), most=5)
    assert [shape.height for shape, _ in places] == [43, 42, 41, 40, 39]


def test_an_operation_is_named_in_a_few_words() -> None:
    assert op_name(OpSpec.parse("conv in=224x224x3 out=32 kernel=3 stride=2")) == "conv 224 px 3→32 k3 /2"
    assert op_name(OpSpec.parse("classifier in=7x7x1280 out=1000")) == "classifier 7 px 1280→1000"
