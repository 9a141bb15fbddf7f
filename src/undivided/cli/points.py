"""`undivided points`: the instants that a service can be recovered to."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from ..config.option_values import parse_count
from ..model.times import local
from ..operations.points import list_points
from .options import COMMON, Common
from .output import emit, size, table

_HEAD = ["TIME", "POINT", "SERVICE", "CONSISTENCY", "PAUSE ", "SKEW ", "PROTECTED ", "STORED ", "PINNED"]


def points(
    service: str | None = None,
    /,
    *,
    last: Annotated[str | None, Parameter(metavar="COUNT")] = None,
    common: Common = COMMON,
) -> int:
    """List recovery points, oldest first.

    Example: undivided points portal --last 10

    Parameters
    ----------
    service:
        Only this service's; all services' when left out.
    last:
        Only this many, the newest: at least 1.
    """
    count = parse_count("--last", last) if last is not None else None
    found = list_points(common.open(), service, last=count)
    rows = [
        [
            local(p.time_ns),
            p.id,
            p.service,
            p.consistency.value,
            f"{p.pause_ms:.1f} ms",
            f"{p.skew_ms:.1f} ms",
            size(p.bytes_seen),
            size(p.bytes_stored),
            "pinned" if listed.pinned else "",
        ]
        for listed in found
        for p in (listed.point,)
    ]
    lines = table(_HEAD, rows)
    for listed in found:
        for name, part in listed.point.components.items():
            lines += [f"note on {listed.point.id}: {name}: {note}" for note in part.notes]
    empty = [f"No points yet. `undivided protect {service or 'SERVICE'}` takes one."]
    emit(common.json, {"points": [listed.as_record() for listed in found]}, lines if found else empty)
    return 0
