"""The command that counts networks, beside what their authors print."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.console import facts, print_lines, print_table, show
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from pipeline.counting import Count, Counted, Part

Networks = Annotated[
    list[str] | None,
    typer.Argument(help="Published networks, architecture files; by default all published.", metavar="NAME|FILE"),
]


def count(network: Networks = None, json: Json = False) -> None:
    """Count the parameters and MACs of networks, beside the published figures."""
    from pipeline.counting import CONVENTION, count_network
    from pipeline.published import PUBLISHED

    found = [count_network(each) for each in network or PUBLISHED]

    def text() -> None:
        for each in found if network else ():
            _print_one(each)
        if not network:
            _print_all(found)
        print_lines("what counts", CONVENTION)

    show({"convention": CONVENTION, "networks": [_document(each) for each in found]}, json, text)


def _print_one(found: Counted) -> None:
    published = found.published
    print(found.name if published is None else f"{found.name}: {published.title} ({published.paper})")
    about: dict[str, object] = {"space": found.space, "input": found.input_shape}
    about |= {each.what: _told(each) for each in (found.params, found.macs)}
    facts(about | ({"counted so": published.counted} if published and published.counted else {}))
    _print_parts("stage", found.stages())
    _print_parts("operation", found.kinds())


def _told(count: Count) -> str:
    if count.figure is None:
        return f"{count.count:,}"
    reason = count.figure.reason
    verdict = "the same" if count.agrees else f"a known mismatch: {reason}" if reason else "NOT the same"
    return f"{count.count:,}, published {count.figure.printed}: {verdict}"


def _print_parts(title: str, parts: Sequence[Part]) -> None:
    macs = max(1, sum(part.macs for part in parts))
    rows = [
        [part.name, str(part.operations), f"{part.params:,}", f"{part.macs:,}", f"{part.macs / macs:.1%}"]
        for part in parts
    ]
    print_table([title, "operations", "parameters", "MACs", "of all MACs"], rows)


def _print_all(found: Sequence[Counted]) -> None:
    rows = [[each.name, str(each.input_shape), *_cells(each.params), *_cells(each.macs)] for each in found]
    print_table(["network", "input", "parameters", "published", "MACs", "published"], rows)
    differing = [(each, count) for each in found for count in (each.params, each.macs) if count.agrees is False]
    reasons = {f"{each.name}, {count.figure.printed}": count.figure.reason for each, count in differing if count.figure}
    if reasons:
        print_lines("* known mismatches", reasons)


def _cells(count: Count) -> list[str]:
    printed = "" if count.figure is None else count.figure.printed
    return [f"{count.count:,}", f"{printed} *" if count.agrees is False else printed]


def _document(found: Counted) -> dict[str, object]:
    from dataclasses import asdict

    published = found.published
    return {
        "network": found.name,
        "space": found.space,
        "input": str(found.input_shape),
        "params": found.params.count,
        "macs": found.macs.count,
        "title": published and published.title,
        "paper": published and published.paper,
        "counted": published and published.counted,
        "published": {name: _figure(count) for name, count in (("params", found.params), ("macs", found.macs))},
        "stages": [asdict(part) for part in found.stages()],
        "operations": [asdict(part) for part in found.kinds()],
    }


def _figure(count: Count) -> dict[str, object] | None:
    if count.figure is None:
        return None
    return {"printed": count.figure.printed, "agrees": count.agrees, "reason": count.figure.reason}
