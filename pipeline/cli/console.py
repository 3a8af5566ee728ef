"""What the command line prints: results on stdout, everything on the way to them on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, Self

if TYPE_CHECKING:
    from rich.progress import TaskID


def fail(message: str, exit_code: int) -> NoReturn:
    """One line on stderr, then the exit code."""
    print(f"millis: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(exit_code)


def show(result: object, as_json: bool, text: Callable[[], None]) -> None:
    """Print a result: one JSON document, or what `text` prints."""
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        text()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns aligned to what they hold: the first to the left, numbers to the right."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    numeric = [all(row[i][:1].isdigit() or row[i][:1] in "-+" for row in rows if row[i]) for i in range(len(columns))]
    table = Table(box=SIMPLE_HEAD)
    for name, is_number in zip(columns, numeric, strict=True):
        table.add_column(name, justify="right" if is_number and rows else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    Console(width=None if sys.stdout.isatty() else 200).print(table)


class ProgressBars:
    """A bar with the time left for each part of a run, and notes above it. Without a terminal, lines."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, soft_wrap=True, highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bars = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def progress(self, part: str, done: int, planned: int) -> None:
        if planned == 0:
            return
        if part not in self._tasks:
            self._tasks[part] = self._bars.add_task(part, total=planned)
        self._bars.update(self._tasks[part], completed=done, total=planned)
        if not self._console.is_terminal and done == planned:
            self.note(f"{part}: {done} of {planned}")

    def note(self, text: str) -> None:
        self._console.print(text, markup=False)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


def facts(values: Mapping[str, object]) -> None:
    """Name and value, one a line."""
    width = max(map(len, values))
    for name, value in values.items():
        print(f"{name:<{width}}  {value}")


def print_lines(title: str, lines: Mapping[str, str]) -> None:
    """A title, and under it a paragraph for each name."""
    print(f"{title}:")
    for name, line in lines.items():
        print(f"  {name}\n      {line}")
