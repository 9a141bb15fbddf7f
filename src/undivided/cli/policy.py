"""`undivided policy …`: what a service's policy means in points."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..config.option_values import parse_keep_rules, parse_seconds
from ..model.durations import format_duration
from ..model.errors import UsageError
from ..model.service import Policy, Service
from ..operations.retention import Decision, anomaly_records, decide, story
from ..policy.simulate import Steady, steady_state, usual_pace
from .options import COMMON, Common
from .output import emit, table


def simulate(
    service: str | None = None,
    /,
    *,
    keep: list[str] | None = None,
    mark: str | None = None,
    over: str = "400d",
    common: Common = COMMON,
) -> int:
    """Show which points would stay, and why, without touching any.

    First of the points there are today; then after a long time of points
    at a steady pace. `undivided prune` does what this shows.

    Example: undivided policy simulate portal --keep daily=30 --keep within=2d

    Parameters
    ----------
    service:
        Only this one; all that are applied here when left out.
    keep:
        RULE=COUNT, or within=2d: try these rules instead of the service's own.
    mark:
        Time between points; else as the service file says, else as they came so far.
    over:
        How long such points are taken.
    """
    context = common.open()
    rules = parse_keep_rules(keep or [])
    pace = parse_seconds("--mark", mark) if mark else None
    length = parse_seconds("--over", over)
    if service is not None:
        context.known_service(service)
    records: list[dict[str, Any]] = []
    lines: list[str] = []
    for name in context.services() if service is None else [service]:
        applied = context.service(name) if name in context.services() else None
        policy = applied.policy if applied else Policy()
        policy = replace(policy, keep=rules or policy.keep, mark=pace or policy.mark)
        moment = time.time_ns()
        decision = decide(context.catalog, name, policy, moment)
        every = _pace(name, policy, applied, decision)
        steady = steady_state(policy.keep, every, length, moment)
        records.append(_record(decision, every, length, steady))
        lines += [*story(decision), *_outlook(every, length, steady), ""]
    nothing = ["No service is applied here. `undivided service apply FILE` takes one over."]
    emit(common.json, {"services": records}, lines[:-1] or nothing)
    return 0


def _pace(name: str, policy: Policy, applied: Service | None, decision: Decision) -> float:
    """Seconds between points: as said, as they came, or as the objective asks for."""
    agreed = applied.objectives.rpo if applied else None
    pace = policy.mark or usual_pace(decision.lives.ever_ns) or agreed
    if pace is None:
        raise UsageError(
            f"nobody says how often points of {name} are taken",
            doing="simulate",
            hint="Say it with --mark 5m, or in the service file: policy: {mark: 5m}.",
        )
    return pace


def _record(decision: Decision, every: float, over: float, steady: Steady) -> dict[str, Any]:
    return {
        "service": decision.service,
        "keep": dict(decision.rules),
        "points": list(decision.points()),
        "stay": int(decision.kept.kept.sum()),
        "expired": len(decision.expired),
        "suspended": anomaly_records(decision.anomalies),
        "steady": {
            "mark_seconds": every,
            "over_seconds": over,
            "taken": steady.taken,
            "stay": steady.kept,
            "oldest_seconds": steady.oldest,
            "rules": [
                {"rule": s.rule, "points": s.points, "alone": s.alone, "oldest_seconds": s.oldest}
                for s in steady.shares
            ],
        },
    }


def _outlook(every: float, over: float, steady: Steady) -> Iterator[str]:
    yield (
        f"  a point every {format_duration(every)} for {format_duration(over)}: {steady.kept} of "
        f"{steady.taken} stay, the oldest {format_duration(steady.oldest)} old"
    )
    head = ["RULE", "POINTS ", "BY NO OTHER ", "OLDEST "]
    rows = [[s.rule, str(s.points), str(s.alone), format_duration(s.oldest)] for s in steady.shares]
    yield from (f"    {line}" for line in table(head, rows))
