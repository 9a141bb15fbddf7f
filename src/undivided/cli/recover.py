"""`undivided recover`: a service back as it was, in place, elsewhere, or beneath a directory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from ..config.service_file import parse_target
from ..host.numpy_threads import single_threaded_numpy
from ..model.durations import format_duration
from ..model.errors import SourceError, UsageError
from ..model.times import iso_utc, local
from ..operations.protect import take_point
from ..operations.workspace import Workspace
from .options import COMMON, Common
from .output import emit
from .progress import progress

if TYPE_CHECKING:
    from ..model.point import RecoveryPoint
    from ..model.service import Service
    from ..recovery.plan import RecoveryPlan
    from ..recovery.result import RecoveryResult

_FLAG = Parameter(negative=())


def recover(
    service: str,
    /,
    *,
    at: str = "latest",
    to: Path | None = None,
    target: Path | None = None,
    in_place: Annotated[bool, _FLAG] = False,
    start: Annotated[bool, _FLAG] = False,
    no_point_first: Annotated[bool, _FLAG] = False,
    dry_run: Annotated[bool, _FLAG] = False,
    common: Common = COMMON,
) -> int:
    """Bring a service back as it was at a point.

    Give exactly one of --to, --target and --in-place. Try --dry-run first:
    it prints the plan and does nothing.

    Example: undivided recover portal --at "10 minutes ago" --in-place --dry-run

    Parameters
    ----------
    service:
        Its name.
    at:
        latest, a point's id or its beginning, or a time: the last point not after it.
    to:
        Directory that gets each component under its name; nothing is started.
    target:
        File in YAML: component → the paths, ports and sockets it shall have instead.
    in_place:
        Where the service lives. A point is taken first; what is there is kept aside.
    start:
        With --target: start the components there and run the checks.
    no_point_first:
        With --in-place: take no point of what is there now.
    dry_run:
        Print the plan and stop.
    """
    _refuse_misuse(no_point_first, in_place)
    context = common.open()
    with single_threaded_numpy():
        context.known_service(service)
        point = context.catalog.point(service, at)
    if not dry_run:
        context.unlock_early()
    from ..recovery.plan import make_plan

    described = _described(context, service, point, in_place)
    first = in_place and not no_point_first
    plan = make_plan(
        described,
        point,
        to=to,
        target=_target(target, described),
        in_place=in_place,
        start=start,
        protect_first=first,
    )
    if dry_run:
        emit(common.json, {"dry_run": True, **plan.as_record()}, plan.describe())
        return 0
    result = _execute(context, plan, _point_before(context, service) if first else None)
    emit(common.json, _record(result), _story(result))
    failure = result.failure()
    if failure:
        sys.stderr.write(f"undivided: {failure}\n")
    return failure.exit_code if failure else 0


def _refuse_misuse(no_point_first: bool, in_place: bool) -> None:
    if no_point_first and not in_place:
        raise UsageError(
            "--no-point-first only means something with --in-place",
            hint="Elsewhere nothing live is touched, so no point is taken anyway.",
        )


def _described(context: Workspace, name: str, point: RecoveryPoint, in_place: bool) -> Service:
    """In place, the service as applied here; elsewhere, or when it is not applied, as it was at the point."""
    if in_place and name in context.services():
        return context.service(name)
    return context.service_at(point)


def _target(path: Path | None, service: Service) -> dict[str, dict[str, Any]] | None:
    if path is None:
        return None
    try:
        return parse_target(path.read_text(), str(path), service)
    except (OSError, UnicodeDecodeError) as error:
        cause = (error.strerror or str(error)).lower() if isinstance(error, OSError) else "it is not text"
        raise UsageError(cause, doing=f"read {path}", hint="Give the path of a target file.") from None


def _execute(
    context: Workspace, plan: RecoveryPlan, before: Callable[[], RecoveryPoint] | None
) -> RecoveryResult:
    from ..recovery.execute import execute

    context.ask_passphrase()
    with progress(f"recover {plan.service.name}") as tell:
        result = execute(plan, context.vault, state=context.state, protect_first=before, progress=tell)
    context.catalog.follow(context.vault)
    return result


def _point_before(context: Workspace, name: str) -> Callable[[], RecoveryPoint]:
    def take() -> RecoveryPoint:
        if name not in context.services():
            raise UsageError(
                f"service {name} is not applied here, so no point of it can be taken first",
                hint="Apply it, or add --no-point-first.",
            )
        try:
            return take_point(context, name)
        except SourceError as error:
            hint = "If what is there now is not worth keeping, add --no-point-first."
            error.hint = f"{error.hint} {hint}".strip()
            raise

    return take


def _record(result: RecoveryResult) -> dict[str, Any]:
    record = result.as_record()
    return {
        **record,
        "time": iso_utc(record["time_ns"]),
        "point_time": iso_utc(record["point_time_ns"]),
    }


def _story(result: RecoveryResult) -> list[str]:
    lines = [
        f"{result.service}: {'recovered' if result.ok else 'NOT recovered'} to {result.point}"
        f" of {local(result.point_time_ns)}, in {result.seconds:.1f} s"
    ]
    if result.down_seconds is not None:
        lines.append(f"  down for {format_duration(result.down_seconds)}")
    if result.data_loss_seconds is not None:
        lines.append(f"  lost: at most the last {format_duration(result.data_loss_seconds)} of its work")
    for name, part in result.components.items():
        lines.append(f"  {name}: {part.kind} at {part.position}, in {part.place}")
        if part.aside:
            lines.append(f"    what was there is in {part.aside}")
        lines += [f"    note: {note}" for note in part.notes]
    lines += [f"  check {v.check}: {'passed' if v.ok else 'FAILED'}, {v.reason}" for v in result.checks]
    return [*lines, *(f"  note: {note}" for note in result.notes)]
