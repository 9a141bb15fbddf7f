"""points, pin, unpin: the recovery points of services, and which of them no prune may expire."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model.errors import UsageError
from ..model.log_kinds import LogKind
from .records import point_record
from .workspace import Workspace

if TYPE_CHECKING:
    from ..model.point import RecoveryPoint


@dataclass(frozen=True)
class ListedPoint:
    point: RecoveryPoint
    pinned: bool

    def as_record(self) -> dict[str, Any]:
        record = point_record(self.point)
        return {"id": record.pop("point"), **record, "pinned": self.pinned}


def list_points(
    workspace: Workspace, service: str | None = None, *, last: int | None = None
) -> list[ListedPoint]:
    """Oldest first. service: None for all services. last: only this many, the newest; at
    least 1."""
    catalog = workspace.catalog
    if service is not None:
        workspace.known_service(service)
    pinned = catalog.pinned()
    return [ListedPoint(point, point.id in pinned) for point in catalog.points(service, last)]


@dataclass(frozen=True)
class Pinned:
    """points: ids of the points that were named; changed: those of them whose pin was set or removed."""

    service: str
    points: Sequence[str]
    pinned: bool
    changed: Sequence[str]

    def as_record(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "points": list(self.points),
            "pinned": self.pinned,
            "changed": list(self.changed),
        }


def set_pins(workspace: Workspace, service: str, points: Sequence[str], *, pinned: bool) -> Pinned:
    """Pins or unpins points. points: ids, beginnings of ids, latest, or times. Unpinning needs the
    passphrase."""
    workspace.known_service(service)
    if not points:
        raise UsageError(
            "no point is given",
            doing=f"{'pin' if pinned else 'unpin'} {service}",
            hint=f"`undivided points {service}` lists them.",
        )
    chosen = [workspace.catalog.point(service, at).id for at in points]
    before = workspace.catalog.pinned()
    changed = [point for point in dict.fromkeys(chosen) if (point in before) != pinned]
    for point in changed:
        workspace.vault.append(LogKind.PIN, {"point": point, "pinned": pinned})
    workspace.catalog.follow(workspace.vault)
    return Pinned(service, chosen, pinned, changed)
