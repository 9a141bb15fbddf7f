"""protect: takes a recovery point of a service.

This file and its imports are on the path that runs every few seconds, so each import here is paid for each
time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..host.crashpoints import crashpoint
from ..host.numpy_threads import single_threaded_numpy
from ..model.errors import UndividedError
from .progress import Progress
from .workspace import Workspace

if TYPE_CHECKING:
    from ..model.point import RecoveryPoint


def protect(workspace: Workspace, name: str, *, progress: Progress | None = None) -> RecoveryPoint:
    """A new point of a service that is applied here; the catalog lists it afterwards.

    Raises SourceError when a component could not be captured: then there is no point. Raises UndividedError
    when the point was taken and the catalog could not list it.
    """
    with single_threaded_numpy():
        from ..capture import protect as capture

    _ = workspace.config
    service = workspace.service(name)
    last = workspace.catalog.newest(name)
    point = capture.protect(service, workspace.vault, workspace.state, last=last, progress=progress)
    try:
        workspace.catalog.follow(workspace.vault)
    except UndividedError as error:
        cause = f"point {point.id} was taken, but the catalog does not list it: {error.summary}"
        raise UndividedError(cause, doing=f"protect {name}", hint=error.hint) from error
    crashpoint("protect.cataloged")
    return point
