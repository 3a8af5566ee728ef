"""Commands about this machine and the devices around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import TYPE_CHECKING

from pipeline.cli.console import print_lines, print_table, show
from pipeline.cli.options import Json

if TYPE_CHECKING:
    from profilers.check import Check


def doctor(json: Json = False) -> None:
    """Show what this machine can profile, export and package, what is missing, and the command that mends it."""
    from pipeline.doctor import examine

    checks = examine()

    def text() -> None:
        print_table(["", "what", "found"], [["ok" if each.ok else "--", each.name, each.found] for each in checks])
        missing = [each for each in checks if not each.ok]
        if missing:
            print_lines("to mend what is missing", _by_mend(missing))

    show({"checks": [asdict(each) for each in checks], "missing": sum(not each.ok for each in checks)}, json, text)


def devices(json: Json = False) -> None:
    """List the devices that can be profiled from here right now, and their runtimes."""
    from pipeline.doctor import reachable_devices

    found = reachable_devices()

    def text() -> None:
        rows = [[each.name, ", ".join(each.runtimes) or "none", each.description] for each in found]
        print_table(["device", "runtimes", "what it is"], rows)
        problems = {each.name: each.problem for each in found if each.problem}
        if problems:
            print_lines("not ready", problems)

    show({"devices": [asdict(each) for each in found]}, json, text)


def _by_mend(missing: Iterable[Check]) -> dict[str, str]:
    """What one command mends together, and the command."""
    names: dict[str, list[str]] = {}
    for each in missing:
        names.setdefault(each.mend, []).append(each.name)
    return {", ".join(together): mend for mend, together in names.items()}
