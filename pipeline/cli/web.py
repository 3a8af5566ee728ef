"""The command that fetches what pip cannot: the runtimes of a browser."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.console import show
from pipeline.cli.options import Json

INSTALLABLE = ("browser",)


def setup(
    what: Annotated[str, typer.Argument(help="browser: its runtimes, from npm.", metavar="browser")],
    json: Json = False,
) -> None:
    """Fetch what pip cannot: the JavaScript runtimes that a browser is measured with, pinned and checked."""
    from profilers.browser.libraries import PACKAGES, install, library_version

    if what not in INSTALLABLE:
        raise typer.BadParameter(f"{what!r} is nothing to set up; there is: {', '.join(INSTALLABLE)}")
    folder = install()
    libraries = [library_version(runtime) for runtime in PACKAGES]
    found = {"libraries": libraries, "folder": str(folder)}
    show(found, json, lambda: print(f"{' and '.join(libraries)} are in {folder}"))
