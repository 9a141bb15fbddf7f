"""`undivided status`: whether each service meets its objectives, in one line."""

from __future__ import annotations

from ..model.durations import format_duration
from ..model.times import local
from ..operations.status import ServiceStatus, UnreadableService
from ..operations.status import status as find_status
from .options import COMMON, Common
from .output import NO_SERVICE, emit, table
from .run import show_error
from .verification import age_line

_HEAD = ["SERVICE", "NEWEST POINT", "AGE ", "RPO", "CONSISTENCY", "PAUSE ", "LAST RECOVERY"]


def status(service: str | None = None, /, *, common: Common = COMMON) -> int:
    """Show whether services meet their objectives.

    For each, the newest point and its age against the RPO, and the last
    recovery. Exit code 4 means that an objective is breached. A service
    whose file cannot be read is reported, and the others are still shown.

    Example: undivided status

    Parameters
    ----------
    service:
        Only this one; all that are applied here when left out.
    """
    found = find_status(common.open(), service)
    rows = [_row(one) for one in found.services]
    age = found.verification.age if found.verification else None
    lines = [*table(_HEAD, rows), age_line(age)] if rows else [NO_SERVICE]
    emit(common.json, found.as_record(), lines)
    for error in found.errors:
        show_error(error)
    return found.exit_code


def _row(one: ServiceStatus | UnreadableService) -> list[str]:
    if isinstance(one, UnreadableService):
        return [one.service, "its file cannot be read", "", "", "", "", ""]
    newest, verdict, recovery = one.newest, one.verdict, one.last_recovery
    return [
        one.service,
        local(newest.time_ns) if newest else "none",
        format_duration(verdict.age) if verdict.age is not None else "-",
        "BREACHED, " + verdict.text if verdict.met is False else verdict.text,
        newest.consistency.value if newest else "-",
        f"{newest.pause_ms:.1f} ms" if newest else "-",
        local(recovery["time_ns"]) if recovery else "never",
    ]
