"""Protecting a service: what `protect` does, without the library that parses command lines.

This file and what it imports are on the path that runs every few seconds; whatever is imported here is paid
for each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cli.output import emit, size
from ..cli.progress import progress
from ..host.crashpoints import crashpoint
from ..host.numpy_threads import single_threaded_numpy
from ..model.errors import UndividedError
from ..model.times import iso_utc
from .workspace import Workspace

if TYPE_CHECKING:
    from ..model.point import RecoveryPoint


def protect_service(name: str, config: Path | None, *, json: bool) -> int:
    """Takes a recovery point and says so."""
    context = Workspace(config)
    point = take_point(context, name)
    emit(json, point_record(point), _story(point))
    return 0


def take_point(context: Workspace, name: str) -> RecoveryPoint:
    """A new point of a service applied here, known to the catalog afterwards."""
    with single_threaded_numpy():
        from ..capture.protect import protect

    _ = context.config
    service = context.service(name)
    last = context.catalog.newest(name)
    with progress(f"protect {name}") as tell:
        point = protect(service, context.vault, context.state, last=last, progress=tell)
    try:
        context.catalog.follow(context.vault)
    except UndividedError as error:
        cause = f"point {point.id} was made, but not listed: {error.doing}: {error.cause}"
        raise UndividedError(cause, doing=f"protect {name}", hint=error.hint) from error
    crashpoint("protect.cataloged")
    return point


def point_record(point: RecoveryPoint) -> dict[str, Any]:
    """What scripts may rely on."""
    return {
        "point": point.id,
        "service": point.service,
        "time": iso_utc(point.time_ns),
        "consistency": point.consistency.value,
        "pause_ms": round(point.pause_ms, 3),
        "skew_ms": round(point.skew_ms, 3),
        "bytes_seen": point.bytes_seen,
        "bytes_read": point.bytes_read,
        "bytes_stored": point.bytes_stored,
        "seconds": round(point.seconds, 4),
        "components": {name: part_record(part) for name, part in point.components.items()},
    }


def part_record(part: Any) -> dict[str, Any]:
    """One component's part in a point. part: ComponentPoint."""
    return {
        "kind": part.kind,
        "position": part.position.text,
        "consistency": part.consistency.value,
        "image": part.image,
        "files": part.files,
        "bytes_seen": part.bytes_seen,
        "bytes_read": part.bytes_read,
        "took_ms": dict(part.took_ms),
        "notes": list(part.notes),
    }


def _story(point: RecoveryPoint) -> list[str]:
    lines = [
        f"{point.service}: point {point.id}, {point.consistency.value},"
        f" pause {point.pause_ms:.1f} ms, skew {point.skew_ms:.1f} ms",
        f"  {size(point.bytes_seen)} protected, {size(point.bytes_read)} read,"
        f" {size(point.bytes_stored)} stored, in {point.seconds:.2f} s",
    ]
    for name, part in point.components.items():
        lines.append(f"  {name}: {part.kind} at {part.position.text}")
        lines += [f"    note: {note}" for note in part.notes]
    return lines
