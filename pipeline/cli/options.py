"""Arguments and options that many commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TableFile = Annotated[Path, typer.Argument(help="A latency table, .yaml.", metavar="TABLE")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
