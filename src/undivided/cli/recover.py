"""`undivided recover`: a service as it was, in place, elsewhere, or beneath a directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..model.durations import format_duration
from ..model.times import local
from ..operations.recover import execute_recovery, plan_recovery, recovery_record
from .options import COMMON, Common
from .output import emit
from .progress import progress
from .run import show_error

if TYPE_CHECKING:
    from ..recovery.result import RecoveryResult


def recover(
    service: str,
    /,
    *,
    at: Annotated[str, Parameter(metavar="POINT")] = "latest",
    to: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    target: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    in_place: bool = False,
    start: bool = False,
    no_point_first: bool = False,
    dry_run: bool = False,
    common: Common = COMMON,
) -> int:
    """Bring a service back as it was at a point.

    Give exactly one of --to, --target and --in-place. Try --dry-run first:
    it prints the plan and changes nothing.

    Example: undivided recover portal --at "10 minutes ago" --in-place --dry-run

    Parameters
    ----------
    service:
        Name of the service.
    at:
        latest, a point's id or its beginning, or a time: the last point not after it.
    to:
        Directory that gets each component under its name; nothing is started.
    target:
        File in YAML: component → its new paths, ports and sockets.
    in_place:
        Recover where the service lives. A point is taken first; the present data is kept aside.
    start:
        With --target: start the components there and run the checks.
    no_point_first:
        With --in-place: take no point of the present state.
    dry_run:
        Print the plan and stop.
    """
    workspace = common.open()
    plan = plan_recovery(
        workspace,
        service,
        at=at,
        to=to,
        target=target,
        in_place=in_place,
        start=start,
        point_first=not no_point_first,
        unlock=not dry_run,
    )
    if dry_run:
        emit(common.json, {"dry_run": True, **plan.as_record()}, plan.describe())
        return 0
    workspace.ask_early()
    with progress(f"recover {service}") as report:
        result = execute_recovery(workspace, plan, progress=report)
    emit(common.json, recovery_record(result), _lines(result))
    failure = result.failure()
    if failure:
        show_error(failure)
    return failure.exit_code if failure else 0


def _lines(result: RecoveryResult) -> list[str]:
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
            lines.append(f"    its earlier data is in {part.aside}")
        lines += [f"    note: {note}" for note in part.notes]
    lines += [f"  check {c.check}: {'passed' if c.ok else 'FAILED'}, {c.reason}" for c in result.checks]
    return [*lines, *(f"  note: {note}" for note in result.notes)]
