"""`undivided mount`: a point as a read-only directory."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..operations.mount import Mounted
from ..operations.mount import mount as show
from .options import COMMON, Common
from .output import emit
from .run import show_error


def mount(
    service: str,
    directory: Path,
    /,
    *,
    at: Annotated[str, Parameter(metavar="POINT")] = "latest",
    foreground: bool = False,
    common: Common = COMMON,
) -> int:
    """Show a point as a read-only directory.

    Each component is under its name. End it with `umount DIRECTORY`;
    without root, `fusermount3 -u DIRECTORY`.

    Example: undivided mount portal /mnt/portal --at yesterday

    Parameters
    ----------
    service:
        Name of the service.
    directory:
        Where to show it; it must exist and should be empty.
    at:
        latest, a point's id or its beginning, or a time: the last point not after it.
    foreground:
        Keep running until it is unmounted or interrupted.
    """

    def shown(mounted: Mounted) -> None:
        place = mounted.directory
        lines = [f"{service}: point {mounted.point} is at {place}; `umount {place}` ends it"]
        emit(common.json, mounted.as_record(), lines)
        sys.stdout.flush()

    serve = shown if foreground else None
    mounted = show(common.open(), service, directory, at=at, serve=serve, failed=show_error)
    if not foreground:
        shown(mounted)
    return 0
