"""Arguments and options that many commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PICTURES = (".svg", ".png")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
TableFile = Annotated[Path, typer.Argument(help="A latency table, .yaml.", metavar="TABLE")]


def picture_file(path: Path | None) -> Path | None:
    """A file that a picture can be written to, for a command to refuse another before it works for minutes."""
    if path is not None and path.suffix not in PICTURES:
        raise typer.BadParameter(f"{path}: a picture is written as one of {', '.join(PICTURES)}")
    return path
