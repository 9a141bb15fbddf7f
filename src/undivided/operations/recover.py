"""recover: brings a service back as it was, in place, elsewhere, or beneath a directory. A plan, then its
execution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..host.numpy_threads import single_threaded_numpy
from ..model.errors import SourceError, UsageError
from ..model.times import iso_utc
from .progress import Progress
from .protect import protect
from .services import file_text
from .workspace import Workspace

if TYPE_CHECKING:
    from ..model.point import RecoveryPoint
    from ..model.service import Service
    from ..recovery.plan import RecoveryPlan
    from ..recovery.result import RecoveryResult


def plan_recovery(
    workspace: Workspace,
    service: str,
    *,
    at: str = "latest",
    to: Path | None = None,
    target: Path | None = None,
    in_place: bool = False,
    start: bool = False,
    point_first: bool = True,
    unlock: bool = False,
) -> RecoveryPlan:
    """Looks at everything and changes nothing. Exactly one of to (a directory), target (a target file) and
    in_place.

    at: latest, an id, the beginning of an id, or a time. point_first: in place, a point of the present state
    is taken first. unlock: the plan will be executed, so begin to unlock the vault now.
    """
    if not (point_first or in_place):
        raise UsageError(
            "--no-point-first works only with --in-place",
            hint="Leave it out: elsewhere nothing live is touched, so no point is taken first.",
        )
    with single_threaded_numpy():
        workspace.known_service(service)
        point = workspace.catalog.point(service, at)
    if unlock:
        workspace.unlock_early()
    from ..recovery.plan import make_plan

    described = _described(workspace, service, point, in_place)
    return make_plan(
        described,
        point,
        to=to,
        target=_target(target, described),
        in_place=in_place,
        start=start,
        protect_first=in_place and point_first,
    )


def execute_recovery(
    workspace: Workspace, plan: RecoveryPlan, *, progress: Progress | None = None
) -> RecoveryResult:
    """Raises UndividedError while nothing live has been touched; a later failure is in the result."""
    from ..recovery.execute import execute

    before = _point_before(workspace, plan.service.name)
    result = execute(plan, workspace.vault, state=workspace.state, protect_first=before, progress=progress)
    workspace.catalog.follow(workspace.vault)
    return result


def recovery_record(result: RecoveryResult) -> dict[str, Any]:
    """As the vault's log keeps it, and its times as text."""
    record = result.as_record()
    return {
        **record,
        "time": iso_utc(record["time_ns"]),
        "point_time": iso_utc(record["point_time_ns"]),
    }


def _described(workspace: Workspace, name: str, point: RecoveryPoint, in_place: bool) -> Service:
    """In place, the service as applied here; elsewhere, or when it is not applied, as it was at the point."""
    if in_place and name in workspace.services():
        return workspace.service(name)
    return workspace.service_at(point)


def _target(path: Path | None, service: Service) -> dict[str, dict[str, Any]] | None:
    if path is None:
        return None
    from ..config.service_file import parse_target

    return parse_target(file_text(path, hint="Give the path of a target file."), str(path), service)


def _point_before(workspace: Workspace, name: str) -> Callable[[], RecoveryPoint]:
    def take() -> RecoveryPoint:
        if name not in workspace.services():
            raise UsageError(
                f"service {name} is not applied here, so no point of it can be taken first",
                hint="Apply it, or add --no-point-first.",
            )
        try:
            return protect(workspace, name)
        except SourceError as error:
            hint = "If the present state is not worth keeping, add --no-point-first."
            error.hint = f"{error.hint} {hint}".strip()
            raise

    return take
