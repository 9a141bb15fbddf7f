"""Points that somebody asks by name to be expired: which they are, and when that is refused.

Whoever names a point has decided, so no keep rule and no doubt about the pace of points is asked. Two things
he must undo or do himself first: a pin, and being without a newer point.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ..catalog.point_history import Named, named
from ..model.errors import UsageError

if TYPE_CHECKING:
    from ..catalog.catalog import Catalog


def asked_for(catalog: Catalog, names: Iterable[str], services: Collection[str]) -> dict[str, set[str]]:
    """Service → ids of its points. names: ids or their beginnings; services: of which points are looked at,
    none for all. Raises UsageError when one is no point, not clearly one, pinned, or its service's newest."""
    found: dict[str, set[str]] = {}
    for name in names:
        point = _one(name, named(catalog, name))
        if services and point.service not in services:
            raise _refused(
                f"point {point.id} is of {point.service}",
                f"Give {point.service} too, or no service: then the points of all are looked at.",
            )
        if point.pinned:
            raise _refused(
                f"point {point.id} of {point.service} is pinned",
                f"`undivided unpin {point.service} {point.id}` first, if it is to go nevertheless.",
            )
        if point.newest:
            raise _refused(
                f"point {point.id} is the newest of {point.service}",
                f"`undivided protect {point.service}` first: then there is a newer one.",
            )
        found.setdefault(point.service, set()).add(point.id)
    return found


def _one(name: str, found: list[Named]) -> Named:
    if not found:
        raise _refused(
            f"there is no point {name!r}",
            "`undivided points` lists them: give an id, or the beginning of one.",
        )
    if len(found) > 1:
        raise _refused(f"{name} may be any of {len(found)} points", "Give the whole id.")
    return found[0]


def _refused(cause: str, hint: str) -> UsageError:
    return UsageError(cause, doing="forget points by name", hint=hint)
