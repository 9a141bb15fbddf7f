"""`undivided mount`: a point as a directory that can be looked into."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..model.errors import UndividedError
from .options import COMMON, Common
from .output import emit


def mount(
    service: str,
    directory: Path,
    /,
    *,
    at: str = "latest",
    foreground: Annotated[bool, Parameter(negative=())] = False,
    common: Common = COMMON,
) -> int:
    """Show a point as a read-only directory.

    Each component is under its name. End it with `umount DIRECTORY`;
    without root, `fusermount3 -u DIRECTORY`.

    Example: undivided mount portal /mnt/portal --at yesterday

    Parameters
    ----------
    service:
        Whose point.
    directory:
        Where to show it; it must be there and should be empty.
    at:
        latest, a point's id or its beginning, or a time: the last point not after it.
    foreground:
        Stay until it is unmounted or interrupted.
    """
    from ..recovery.mount import mount as show

    context = common.open()
    context.known_service(service)
    point = context.catalog.point(service, at)
    place = directory.absolute()
    record = {"service": service, "point": point.id, "directory": str(place)}
    said = [f"{service}: point {point.id} is at {place}; `umount {place}` ends it"]
    if foreground:
        emit(common.json, record, said)
        sys.stdout.flush()
    show(context.vault, point, place, foreground=foreground, complain=_complain)
    if not foreground:
        emit(common.json, record, said)
    return 0


def _complain(error: UndividedError) -> None:
    sys.stderr.write(f"undivided: {error}\n")
