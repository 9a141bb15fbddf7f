"""A point by its id, or by the beginning of its id: the one place where names become points.

Ids begin with the time, so points of several services may share a beginning. A beginning of at least PREFIX
characters names a point when only one id begins so.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ..model.errors import UsageError
from ..model.times import local

PREFIX = 4
_LAST = "\U0010ffff"
"""Sorts after every character of an id."""


class Rows(Protocol):
    """The one method of a catalog that is needed here."""

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]: ...


class NamedPoint(NamedTuple):
    """number: its place in the log. newest: of its service."""

    number: int
    id: str
    service: str
    pinned: bool
    newest: bool


def find_named(catalog: Rows, name: str, service: str | None = None, *, doing: str) -> NamedPoint | None:
    """The point with this id or beginning; None when there is none. service: only its points; None for all.

    Raises UsageError when several ids begin so, and when the point was expired.
    """
    columns = (
        "number, id, service, EXISTS (SELECT 1 FROM pins WHERE point = id),"
        " number = (SELECT max(number) FROM points p WHERE p.service = points.service)"
    )
    rows = _rows(catalog, columns, "points", name, service)
    if len(rows) > 1:
        raise UsageError(
            f"several point ids begin with {name!r}", doing=doing, hint="Give more characters of the id."
        )
    if rows:
        number, id, owner, pinned, newest = rows[0]
        return NamedPoint(number, id, owner, bool(pinned), bool(newest))
    _refuse_expired(catalog, name, service, doing)
    return None


def point_named(catalog: Rows, name: str, service: str | None = None, *, doing: str) -> NamedPoint:
    """The same. Raises UsageError also when there is none."""
    found = find_named(catalog, name, service, doing=doing)
    if found is None:
        raise UsageError(
            f"there is no point {name!r}",
            doing=doing,
            hint=f"{_listing(service)} lists the points: give an id, or at least "
            f"{PREFIX} characters of its beginning.",
        )
    return found


def _refuse_expired(catalog: Rows, name: str, service: str | None, doing: str) -> None:
    rows = _rows(catalog, "id, (SELECT time_ns FROM entries WHERE number = pruned)", "expired", name, service)
    if rows:
        id, time_ns = rows[0]
        raise UsageError(
            f"point {id} was expired by the prune of {local(time_ns)}"
            if len(rows) == 1
            else f"the points whose ids begin with {name!r} were expired",
            doing=doing,
            hint=f"{_listing(service)} lists the points that are left. A time means the last of them that is "
            "not after it.",
        )


def _listing(service: str | None) -> str:
    return f"`undivided points {service}`" if service is not None else "`undivided points`"


def _rows(catalog: Rows, columns: str, table: str, name: str, service: str | None) -> list[tuple[Any, ...]]:
    """At most two rows: the row of the id itself, else rows of ids that begin so, found by the index of ids.
    columns, table: our own text, never input."""
    of_service = "AND service = ?3" if service is not None else "AND ?3 IS NULL"
    query = f"SELECT {columns} FROM {table} WHERE id >= ?1 AND id <= ?2 {of_service} ORDER BY id LIMIT 2"  # noqa: S608
    exact = catalog.rows(query, (name, name, service))
    if exact or len(name) < PREFIX:
        return exact
    return catalog.rows(query, (name, name + _LAST, service))
