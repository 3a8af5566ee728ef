"""The command line. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys

from pipeline.cli.app import app
from pipeline.cli.console import fail

INTERRUPTED = 130


def main() -> None:
    """Run `millis`; a failure is one line on stderr and an exit code, never a traceback for bad input."""
    # Here, so that the modules above need nothing but typer.
    from profilers.errors import MillisError

    try:
        app()
    except MillisError as error:
        fail(str(error), error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # which is what typer makes of Ctrl-C
            fail("stopped; what was finished is kept, run the same command again to go on", INTERRUPTED)
        raise
    except BrokenPipeError:  # the reader of our output has gone
        sys.exit(1)
    except OSError as error:
        fail(str(error), 1)
