"""`undivided prune`: forget what the keep rules let go, and give its room back."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ..config.option_values import parse_seconds, parse_size
from ..model.durations import format_duration
from ..model.errors import UndividedError
from ..operations.forget_by_name import asked_for
from ..operations.retention import Decision, anomaly_records, decide, doubts, story
from ..operations.workspace import Workspace
from ..policy.anomalies import Anomaly, suspended
from .options import COMMON, Common
from .output import emit, plural, size

if TYPE_CHECKING:
    from ..vault.prune import PrunePlan

_NANO = 1e-9

Despite = Literal["flood", "backwards", "future", "leap"]


def prune(
    *services: str,
    forget: list[str] | None = None,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    grace: str = "1d",
    budget: str = "4G",
    despite: list[Despite] | None = None,
    common: Common = COMMON,
) -> int:
    """Forget points that no keep rule wants, and give their room back.

    A service without `keep`, or that is not applied here, loses nothing.
    Nothing is expired while something is suspicious: a flood of points,
    a clock that jumped. Needs the passphrase. Try --dry-run first.

    Example: undivided prune --dry-run

    Parameters
    ----------
    services:
        Only points of these; all services' when left out.
    forget:
        Forget this point too, whatever the rules say: its id, or the beginning of it.
    dry_run:
        Print what would go and what that frees, and stop.
    grace:
        What was given up is deleted this long afterwards: time for those who still read.
    budget:
        Packs with little left in them are put together anew, so many bytes at most.
    despite:
        Go on although this is suspicious; you have looked.
    """
    wait, room = parse_seconds("--grace", grace, zero=True), parse_size("--budget", budget)
    context = common.open()
    for name in services:
        context.known_service(name)
    now = time.time_ns()
    asked = asked_for(context.catalog, forget or (), services)
    names = services or context.catalog.services()
    decisions = [_decide(context, name, now, asked.get(name, ())) for name in names]
    accepted: set[str] = set(despite or ())
    doubted = [d for d in doubts(context.catalog, now) if d.reason not in accepted]
    record = _decided(decisions, doubted, dry_run)
    lines = [line for decision in decisions for line in story(decision)]
    if doubted:
        emit(common.json, record, lines)
        return _told(suspended(doubted, "prune"))
    sure = [id for d in decisions for id in (d.asked if _open(d, accepted) else d.expired)]
    plan = _plan(context, sure, wait, room)
    if not dry_run:
        _carry_out(context, plan)
    emit(common.json, {**record, **_planned(plan)}, [*lines, *_outcome(plan, dry_run)])
    failed = [suspended(own, f"prune {d.service}") for d in decisions if (own := _open(d, accepted))]
    return max([_told(error) for error in failed], default=0)


def _decide(context: Workspace, name: str, now_ns: int, asked: Collection[str]) -> Decision:
    applied = name in context.services()
    return decide(context.catalog, name, context.service(name).policy if applied else None, now_ns, asked)


def _open(decision: Decision, accepted: set[str]) -> list[Anomaly]:
    """The anomalies that nobody has accepted."""
    return [s for s in decision.anomalies if s.reason not in accepted]


def _told(error: UndividedError) -> int:
    sys.stderr.write(f"undivided: {error}\n")
    return error.exit_code


def _plan(context: Workspace, forget: Sequence[str], grace: float, budget: int) -> PrunePlan:
    from ..vault.prune import plan_prune

    context.ask_passphrase()
    return plan_prune(context.vault, forget, grace=grace, budget=budget)


def _carry_out(context: Workspace, plan: PrunePlan) -> None:
    from ..vault.prune import execute

    execute(context.vault, plan)
    context.catalog.follow(context.vault)


def _decided(decisions: Sequence[Decision], doubted: Sequence[Anomaly], dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "services": [
            {
                "service": d.service,
                "keep": dict(d.rules),
                "points": list(d.points()),
                "suspended": anomaly_records(d.anomalies),
            }
            for d in decisions
        ],
        "suspended": anomaly_records(doubted),
    }


def _planned(plan: PrunePlan) -> dict[str, Any]:
    waiting = sum(size for kind in plan.orphans.waiting.values() for size in kind.values())
    return {
        "expired": list(plan.expired),
        "freed_bytes": plan.freed,
        "swept_bytes": plan.swept,
        "waiting_bytes": waiting,
        "packs_dead": len(plan.dead),
        "packs_moved": len(plan.moved),
        "states_compacted": plan.compacted,
        "sessions_fenced": len(plan.orphans.fenced),
        "objects_unknown": sum(map(len, plan.orphans.unknown.values())),
    }


def _outcome(plan: PrunePlan, dry_run: bool) -> Iterator[str]:
    would = "would be " if dry_run else ""
    waiting = sum(size for kind in plan.orphans.waiting.values() for size in kind.values())
    yield f"{plural(len(plan.expired), 'point')} {would}expired"
    if plan.freed > 0:
        wait = plan.grace_ns * _NANO
        when = f"deleted by a prune {format_duration(wait)} from now or later" if wait else "deleted at once"
        yield f"  {size(plan.freed)} {would}given up, {when}"
    if plan.swept:
        yield f"  {size(plan.swept)} given up by earlier prunes {would}deleted"
    if waiting:
        yield f"  {size(waiting)} given up by earlier prunes wait for their time"
    if plan.moved:
        moved = plural(len(plan.moved), "pack")
        yield f"  {moved}, small or with little left in them, {would}put together anew"
