"""`undivided prune`: expire points by the keep rules, and free their space."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ..config.option_values import parse_seconds, parse_size
from ..model.durations import format_duration
from ..operations.prune import decide_prune, execute_prune, pending_bytes, plan_prune, prune_record
from .decisions import lines_of
from .options import COMMON, Common
from .output import emit, plural, size
from .run import show_error

if TYPE_CHECKING:
    from ..vault.prune import PrunePlan

_NANO = 1e-9

Despite = Literal["flood", "backwards", "future", "leap"]


def prune(
    *services: str,
    forget: Annotated[list[str] | None, Parameter(metavar="POINT")] = None,
    dry_run: bool = False,
    grace: Annotated[str, Parameter(metavar="TIME")] = "1d",
    budget: Annotated[str, Parameter(metavar="SIZE")] = "4G",
    despite: Annotated[list[Despite] | None, Parameter(metavar="ANOMALY")] = None,
    common: Common = COMMON,
) -> int:
    """Expire points that no keep rule keeps, and free their space.

    A service without `keep`, or that is not applied here, loses no points.
    Nothing expires while there is an anomaly: a flood of points, a clock
    that jumped. Needs the passphrase. Try --dry-run first.

    Example: undivided prune --dry-run

    Parameters
    ----------
    services:
        Only their points; all services' when left out.
    forget:
        Expire this point too, whatever the rules say: its id, or the beginning of it. May be repeated.
    dry_run:
        Print which points would expire and how much space that frees, and stop.
    grace:
        Data that is not needed any more is deleted this long afterwards: time for running readers.
    budget:
        Packs that are mostly unused are rewritten, so many bytes at most.
    despite:
        Prune in spite of this anomaly, once you know its cause. May be repeated.
    """
    wait, room = parse_seconds("--grace", grace, zero=True), parse_size("--budget", budget)
    workspace = common.open()
    decision = decide_prune(workspace, services, forget=forget or (), despite=despite or ())
    plan = plan_prune(workspace, decision, grace=wait, budget=room)
    if plan and not dry_run:
        execute_prune(workspace, plan)
    lines = [line for one in decision.services for line in lines_of(one)]
    lines += _outcome(plan, dry_run) if plan else ()
    emit(common.json, prune_record(decision, plan, dry_run=dry_run), lines)
    for failure in decision.failures:
        show_error(failure)
    return decision.exit_code


def _outcome(plan: PrunePlan, dry_run: bool) -> Iterator[str]:
    would = "would be " if dry_run else ""
    yield f"{plural(len(plan.expired), 'point')} {'would expire' if dry_run else 'expired'}"
    if plan.freed > 0:
        wait = plan.grace_ns * _NANO
        when = f"deleted by a prune {format_duration(wait)} from now or later" if wait else "deleted at once"
        yield f"  {size(plan.freed)} {would}marked for deletion, {when}"
    if plan.deleted:
        yield f"  {size(plan.deleted)} marked by earlier prunes {would}deleted"
    if waiting := pending_bytes(plan):
        yield f"  {size(waiting)} marked by earlier prunes are kept until their grace is over"
    if plan.repacked:
        yield f"  {plural(len(plan.repacked), 'pack')}, small or mostly unused, {would}rewritten"
