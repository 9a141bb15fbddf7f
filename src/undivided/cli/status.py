"""`undivided status`: does each service meet what was agreed, in one line."""

from __future__ import annotations

import sys
import time
from typing import Any

from ..model.durations import format_duration
from ..model.errors import ObjectiveError, UndividedError
from ..model.point import RecoveryPoint
from ..model.service import Service
from ..model.times import iso_utc, local
from ..operations.verification_age import NEVER, proven_line, vault_record
from ..operations.workspace import Workspace
from ..policy.objectives import ObjectiveVerdict, verdict
from .options import COMMON, Common
from .output import emit, table


def status(service: str | None = None, /, *, common: Common = COMMON) -> int:
    """Say whether services meet their objectives.

    For each, the newest point and its age against the RPO, and the last
    recovery. Exit code 4 says that an objective is breached. A service whose
    file cannot be read is told of and keeps none of the others out.

    Example: undivided status

    Parameters
    ----------
    service:
        Only this one; all that are applied here when left out.
    """
    context = common.open()
    catalog = context.catalog
    names = context.services() if service is None else [service]
    now = time.time_ns()
    rows: list[list[str]] = []
    records: list[dict[str, Any]] = []
    broken: list[UndividedError] = []
    breached = False
    for name in names:
        try:
            described = context.service(name)
        except UndividedError as error:
            if service:
                raise
            broken.append(error)
            rows.append([name, "its file cannot be read", "", "", "", "", ""])
            records.append({"service": name, "error": str(error).partition("\nHINT: ")[0]})
            continue
        newest = catalog.newest(name)
        judged = verdict(described.objectives, newest.time_ns if newest else None, now)
        breached |= judged.met is False
        recovery = _last_recovery(context, name)
        rows.append(_row(name, newest, judged, recovery))
        records.append(_record(described, newest, judged, recovery))
    head = ["SERVICE", "NEWEST POINT", "AGE ", "RPO", "CONSISTENCY", "PAUSE ", "LAST RECOVERY"]
    nothing = ["No service is applied here. `undivided service apply FILE` takes one over."]
    verified = vault_record(context.vault)
    line = f"vault: {proven_line(verified) if verified else NEVER}"
    lines = [*table(head, rows), line] if rows else nothing
    emit(common.json, {"services": records, "verified": verified}, lines)
    for failure in broken:
        sys.stderr.write(f"undivided: {failure}\n")
    if breached:
        return ObjectiveError.exit_code
    return broken[0].exit_code if broken else 0


def _last_recovery(context: Workspace, name: str) -> dict[str, Any] | None:
    done = context.catalog.recoveries(name)
    return done[-1] if done else None


def _row(
    name: str, newest: RecoveryPoint | None, judged: ObjectiveVerdict, recovery: dict[str, Any] | None
) -> list[str]:
    return [
        name,
        local(newest.time_ns) if newest else "none",
        format_duration(judged.age) if judged.age is not None else "-",
        "BREACHED, " + judged.says if judged.met is False else judged.says,
        newest.consistency.value if newest else "-",
        f"{newest.pause_ms:.1f} ms" if newest else "-",
        local(recovery["time_ns"]) if recovery else "never",
    ]


def _record(
    service: Service, newest: RecoveryPoint | None, judged: ObjectiveVerdict, recovery: dict[str, Any] | None
) -> dict[str, Any]:
    return {
        "service": service.name,
        "point": newest.id if newest else None,
        "time": iso_utc(newest.time_ns) if newest else None,
        "age_seconds": judged.age,
        "consistency": newest.consistency.value if newest else None,
        "pause_ms": round(newest.pause_ms, 3) if newest else None,
        "rpo": {"seconds": judged.rpo, "met": judged.met},
        "last_recovery": {**recovery, "time": iso_utc(recovery["time_ns"])} if recovery else None,
    }
