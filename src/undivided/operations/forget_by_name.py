"""Points that an operator names to be expired: which they are, and when that is refused.

The operator has decided, so keep rules and the pace of points do not count. Two things the operator must
change first: a pin, and that the service has no newer point.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ..catalog.point_names import point_named
from ..model.errors import UsageError

if TYPE_CHECKING:
    from ..catalog.catalog import Catalog

_DOING = "forget points by name"


def named_points(catalog: Catalog, names: Iterable[str], services: Collection[str]) -> dict[str, set[str]]:
    """Service → ids of its points. names: ids or their beginnings; services: only their points, none for all.
    Raises UsageError when a name is no point or several, when the point is pinned, or the newest of its
    service."""
    found: dict[str, set[str]] = {}
    for name in names:
        point = point_named(catalog, name, doing=_DOING)
        if services and point.service not in services:
            raise _refused(
                f"point {point.id} belongs to {point.service}",
                f"Name {point.service} too, or no service: then the points of all services are considered.",
            )
        if point.pinned:
            raise _refused(
                f"point {point.id} of {point.service} is pinned",
                f"To expire it, run `undivided unpin {point.service} {point.id}` first.",
            )
        if point.newest:
            raise _refused(
                f"point {point.id} is the newest of {point.service}",
                f"Run `undivided protect {point.service}` first: then there is a newer one.",
            )
        found.setdefault(point.service, set()).add(point.id)
    return found


def _refused(cause: str, hint: str) -> UsageError:
    return UsageError(cause, doing=_DOING, hint=hint)
