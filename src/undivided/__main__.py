"""The program `undivided`, also called `und`.

Only the fastest parts of the standard library are imported here, so `--version` answers before anything else
is loaded.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def program() -> NoReturn:
    """Runs the command line of this process and ends it.

    Every command flushes and closes its own files. So the interpreter is not taken apart object by object:
    that takes several times as long as committing a point.
    """
    try:
        code = main()
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # our output cannot be written; `main` has reported that for a command
        code = 1
    os._exit(code)


def main() -> int:
    """Runs the command line of this process and returns its exit code."""
    if sys.argv[1:] == ["--version"]:
        from . import __version__

        sys.stdout.write(f"undivided {__version__}\n")
        return 0
    from .cli.run import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    program()
