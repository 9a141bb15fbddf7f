"""`undivided points`: the instants that a service can be brought back to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..model.times import local
from ..operations.protect import point_record
from .options import COMMON, Common
from .output import emit, size, table

if TYPE_CHECKING:
    from ..model.point import RecoveryPoint


def points(service: str | None = None, /, *, last: int | None = None, common: Common = COMMON) -> int:
    """List recovery points, oldest first.

    Example: undivided points portal --last 10

    Parameters
    ----------
    service:
        Only this service's; all services' when left out.
    last:
        Only this many, the newest.
    """
    context = common.open()
    catalog = context.catalog
    if service is not None:
        context.known_service(service)
    found = catalog.points(service, last)
    pinned = catalog.pinned()
    lines = table(
        ["TIME", "POINT", "SERVICE", "CONSISTENCY", "PAUSE ", "SPREAD ", "PROTECTED ", "STORED ", "PINNED"],
        [
            [
                local(p.time_ns),
                p.id,
                p.service,
                p.consistency.value,
                f"{p.pause_ms:.1f} ms",
                f"{p.skew_ms:.1f} ms",
                size(p.bytes_seen),
                size(p.bytes_stored),
                "pinned" if p.id in pinned else "",
            ]
            for p in found
        ],
    )
    for point in found:
        notes = [f"{name}: {note}" for name, part in point.components.items() for note in part.notes]
        lines += [f"note on {point.id}: {note}" for note in notes]
    empty = [f"No points yet. `undivided protect {service or 'SERVICE'}` takes one."]
    emit(common.json, {"points": [record(p, p.id in pinned) for p in found]}, lines if found else empty)
    return 0


def record(point: RecoveryPoint, pinned: bool) -> dict[str, Any]:
    """A point as `points --json` lists it."""
    told = point_record(point)
    return {"id": told.pop("point"), **told, "pinned": pinned}
