"""The program `undivided`, also called `und`.

Only the standard library's quickest parts are imported here: `--version` answers before anything else loads.
"""

from __future__ import annotations

import sys


def main() -> int:
    """Runs the command line of this process and returns its exit code."""
    if sys.argv[1:] == ["--version"]:
        from . import __version__

        sys.stdout.write(f"undivided {__version__}\n")
        return 0
    from .cli.run import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
