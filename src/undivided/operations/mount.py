"""mount: shows a point as a read-only directory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model.errors import UndividedError
from .workspace import Workspace


@dataclass(frozen=True)
class Mounted:
    service: str
    point: str
    directory: Path

    def as_record(self) -> dict[str, Any]:
        return {"service": self.service, "point": self.point, "directory": str(self.directory)}


def mount(
    workspace: Workspace,
    service: str,
    directory: Path,
    *,
    at: str = "latest",
    serve: Callable[[Mounted], None] | None = None,
    failed: Callable[[UndividedError], None] | None = None,
) -> Mounted:
    """Mounts the point `at`. Without `serve` another process serves the mount, and this returns once it
    answers.

    serve: called before the mount; then this process serves it and returns when it is unmounted or
    interrupted. failed: called with each error that a reader of the mount got as an input/output error.
    Raises UndividedError when the point cannot be mounted.
    """
    from ..recovery.mount import mount as show

    workspace.known_service(service)
    point = workspace.catalog.point(service, at)
    mounted = Mounted(service, point.id, directory.absolute())
    if serve:
        serve(mounted)
    show(workspace.vault, point, mounted.directory, foreground=serve is not None, complain=failed)
    return mounted
