"""Which points a timeline is part of: columns of numbers, so that a million points need no million
objects."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..model.columns import Array
from ..model.errors import DamageError
from .catalog import Catalog


class ComponentTimeline(NamedTuple):
    """One timeline of a component. A component has several when its history began again."""

    component: str
    timeline: str


class PointPlace(NamedTuple):
    """A point by its place in the log."""

    point: str
    time_ns: int


def timelines_of(catalog: Catalog, service: str) -> list[ComponentTimeline]:
    """The timelines that the points of a service need, in the order of their first points."""
    rows = catalog.rows(
        "SELECT name, timeline FROM components JOIN points ON point = number WHERE service = ?"
        " GROUP BY name, timeline ORDER BY min(number), min(place)",
        (service,),
    )
    return [ComponentTimeline(*row) for row in rows]


def point_numbers(catalog: Catalog, service: str, timeline: ComponentTimeline) -> Array:
    """i8[n]: the log numbers of the points that the timeline is part of, ascending."""
    rows = catalog.each(
        "SELECT number FROM components JOIN points ON point = number"
        " WHERE service = ? AND name = ? AND timeline = ? ORDER BY number",
        (service, *timeline),
    )
    return np.fromiter((number for (number,) in rows), np.int64)


def point_at(catalog: Catalog, number: int) -> PointPlace:
    """The point of a log entry."""
    rows = catalog.rows("SELECT id, time_ns FROM points WHERE number = ?", (int(number),))
    if not rows:
        raise DamageError(f"log entry {number} is no point", doing=f"use the catalog {catalog.path}")
    return PointPlace(*rows[0])
