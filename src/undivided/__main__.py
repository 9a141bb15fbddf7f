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
    _open_closed_streams()
    if sys.argv[1:] == ["--version"]:
        from . import __version__

        sys.stdout.write(f"undivided {__version__}\n")
        return 0
    from .cli.run import run

    return run(sys.argv[1:])


def _open_closed_streams() -> None:
    """Connects each standard stream that the caller closed, as some service wrappers do, to /dev/null.
    Otherwise the next file that is opened, perhaps the catalog, would get its number, and a child's messages
    would be written into that file."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115  gets the number of the closed stream


if __name__ == "__main__":
    program()
