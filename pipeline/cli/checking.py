"""Commands that say what a table predicts, and whether it is right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.console import ProgressBars, facts, print_table, show
from pipeline.cli.options import Json, TableFile, picture_file

if TYPE_CHECKING:
    from latency_tables.accuracy import Accuracy
    from latency_tables.table import LatencyTable
    from pipeline.architecture import Architecture
    from pipeline.checking import TableCheck


def table_predict(
    table: TableFile,
    architecture: Annotated[str, typer.Argument(help="A published network, or an architecture file.")],
    confidence: Annotated[float, typer.Option(help="How sure the interval is.")] = 0.9,
    json: Json = False,
) -> None:
    """Predict a network's latency: milliseconds with an interval, and the share of each layer."""
    from latency_tables.table_file import load_table
    from pipeline.published import load_network

    if not 0 < confidence < 1:
        raise typer.BadParameter(f"a confidence of {confidence} does not lie between 0 and 1")
    loaded, network = load_table(table), load_network(architecture)
    prediction = loaded.predict(network.ops())
    low, high = prediction.interval_ms(confidence)
    overhead_ms, crowding_ms = loaded.sum_ms(()), prediction.ms - prediction.sum_ms
    layers = _layers(loaded, network, prediction.ms)

    def text() -> None:
        interval = f"{100 * confidence:.4g}% interval {low:.4g} to {high:.4g} ms"
        print(f"{architecture}: {prediction.ms:.4g} ms, {interval}, plain sum {loaded.plain_ms(network.ops()):.4g} ms")
        facts(_how(loaded))
        rows = [[each["layer"], each["op"], f"{each['ms']:.4g}", f"{each['share']:.1%}"] for each in layers]
        for name, ms in (("a call, once", overhead_ms), ("crowded caches", crowding_ms)):
            rows.append([name, "", f"{ms:.4g}", f"{ms / prediction.ms:.1%}"])
        print_table(["layer", "operation", "ms", "share"], rows)

    found = {
        "network": architecture,
        "space": network.space.name,
        **_obtained(loaded),
        "predicted_ms": prediction.ms,
        "confidence": confidence,
        "interval_ms": [low, high],
        "plain_sum_ms": loaded.plain_ms(network.ops()),
        "overhead_ms": overhead_ms,
        "crowding_ms": crowding_ms,
        "layers": layers,
    }
    show(found, json, text)


def table_check(
    table: TableFile,
    networks: Annotated[int, typer.Option(help="How many fresh random networks to measure.", min=1)] = 40,
    seed: Annotated[int, typer.Option(help="Fixes which networks are drawn.")] = 0,
    space: Annotated[str | None, typer.Option(help="Where to draw them from; by default the table's space.")] = None,
    protocol: Annotated[str | None, typer.Option(help="quick, standard or final; by default the table's.")] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw predicted against measured: .svg or .png.", callback=picture_file)
    ] = None,
    json: Json = False,
) -> None:
    """Measure random networks that the table has not seen, twice, beside what it predicts. A second call goes on."""
    from latency_tables.table_file import load_table
    from pipeline.checking import check_journals, check_table, space_of
    from profilers.protocol import protocol_named

    loaded = load_table(table)
    drawn_from = space_of(loaded, space)
    asked = loaded.protocol if protocol is None else protocol_named(protocol)
    with ProgressBars() as bars:
        check = check_table(
            loaded,
            drawn_from,
            asked,
            count=networks,
            seed=seed,
            journals=check_journals(loaded, table, asked, seed),
            watch=bars,
        )
    if picture is not None:
        _draw(check, picture)
    show(_check_document(check, picture), json, lambda: _print_check(check, picture))


def _layers(table: LatencyTable, network: Architecture, total_ms: float) -> list[dict[str, Any]]:
    """What each layer costs, and its share of the network."""
    costs = [(node.name, node.op, table.op_ms(node.op)) for node in network.graph().named]
    return [{"layer": name, "op": str(op), "ms": ms, "share": ms / total_ms} for name, op, ms in costs]


def _how(table: LatencyTable) -> dict[str, object]:
    """How the numbers of a table were obtained, for people."""
    told = f"{len(table.networks)} whole networks" if table.networks else "none: plain sums"
    protocol = table.protocol.describe()
    return {"target": table.target, **table.environment.facts, "protocol": protocol, "calibrated on": told}


def _obtained(table: LatencyTable) -> dict[str, object]:
    """How the numbers of a table were obtained, for programs."""
    return {
        "table": str(table.path),
        "target": str(table.target),
        "environment": dict(table.environment.facts),
        "protocol": table.protocol.describe(),
        "calibration_networks": len(table.networks),
    }


def _draw(check: TableCheck, picture: Path) -> None:
    from pipeline.check_picture import check_picture
    from pipeline.plotting import write_picture

    write_picture(check_picture(check), picture)


def _print_check(check: TableCheck, picture: Path | None) -> None:
    facts(_how(check.table) | {"measured by": check.protocol.describe()})
    noisy = sum(each.verdict == "noisy" for each in check.networks)
    print(f"{len(check.networks)} fresh networks of {check.space}, seed {check.seed}, {noisy} of them noisy")
    rows = [("predicted", check.predicted), ("plain sums", check.plain), ("measured again", check.repeated)]
    if check.since is not None:
        rows.append((f"{check.since.networks} networks of the table, then and now", check.since))
        rows.append((f"predicted, for a device {check.slower:.3f} times as slow", check.at_one_speed))
    columns = ["", "mean error", "bias", "worst", "within 5%", "within 10%", "rank correlation", "in 90% interval"]
    print_table(columns, [[name, *_cells(found)] for name, found in rows])
    if picture is not None:
        print(picture)


def _cells(found: Accuracy) -> list[str]:
    return [
        f"{found.mape:.2%}",
        f"{found.bias:+.2%}",
        f"{found.worst:.2%}",
        f"{found.within_5pct:.1%}",
        f"{found.within_10pct:.1%}",
        "" if found.spearman is None else f"{found.spearman:.4f}",
        "" if found.coverage_90 is None else f"{found.coverage_90:.1%}",
    ]


def _check_document(check: TableCheck, picture: Path | None) -> dict[str, object]:
    """The figures of the predictions at the top; those of what stands beside them under their names."""
    from dataclasses import asdict

    return {
        **_obtained(check.table),
        "space": check.space,
        "seed": check.seed,
        "measured_by": check.protocol.describe(),
        **asdict(check.predicted),
        "plain_sum": asdict(check.plain),
        "measured_again": asdict(check.repeated),
        "known_networks_again": None if check.since is None else asdict(check.since),
        "slower_than_for_the_table": check.slower,
        "at_one_speed": asdict(check.at_one_speed),
        "picture": None if picture is None else str(picture),
        "measured": [
            {
                "choices": each.architecture.labels,
                "predicted_ms": each.prediction.ms,
                "interval_90_ms": list(each.prediction.interval_ms(0.9)),
                "plain_sum_ms": each.plain_ms,
                "measured_ms": each.measured_ms,
                "measured_again_ms": each.again_ms,
                "spread": each.spread,
                "verdict": each.verdict,
            }
            for each in check.networks
        ],
    }
