"""The points of a service as columns, for retention: those that exist, those that ever existed, and the times
of the log.

A service may have a million points, and a decision about them must not need a million objects.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..model.columns import Array
from ..model.log_kinds import LogKind
from .catalog import Catalog


class PointHistory(NamedTuple):
    """The points of one service. ids: of the n points that exist, in the order of the log.

    ever_ns i8[m]: the instants of all points that ever existed, in the order of the log. live i8[n]: which
    rows of them still exist. pinned ?[n]. settled: how many of the m came before the last prune that expired
    any.
    """

    ids: list[str]
    ever_ns: Array
    live: Array
    pinned: Array
    settled: int

    @property
    def time_ns(self) -> Array:
        """i8[n]"""
        return np.asarray(self.ever_ns[self.live])


def point_history(catalog: Catalog, service: str) -> PointHistory:
    """Empty columns when the service has no points."""
    left = catalog.rows(
        "SELECT number, id, EXISTS (SELECT 1 FROM pins WHERE point = id) FROM points WHERE service = ?"
        " ORDER BY number",
        (service,),
    )
    ever = _columns(
        catalog.rows(
            "SELECT number, time_ns FROM points WHERE service = ?1"
            " UNION ALL SELECT number, time_ns FROM expired WHERE service = ?1 ORDER BY number",
            (service,),
        )
    )
    (last,) = catalog.rows("SELECT max(pruned) FROM expired WHERE service = ?", (service,))[0]
    return PointHistory(
        ids=[id for _, id, _ in left],
        ever_ns=ever[1],
        live=np.searchsorted(ever[0], np.fromiter((number for number, _, _ in left), np.int64, len(left))),
        pinned=np.fromiter((bool(pinned) for _, _, pinned in left), np.bool_, len(left)),
        settled=int(np.searchsorted(ever[0], last or 0)),
    )


def times_of_log(catalog: Catalog) -> tuple[Array, int]:
    """The times of all entries, in their order, and how many of them end with the last prune."""
    numbers, times = _columns(catalog.rows("SELECT number, time_ns FROM entries ORDER BY number"))
    (last,) = catalog.rows("SELECT max(number) FROM entries WHERE kind = ?", (LogKind.PRUNE,))[0]
    return times, int(np.searchsorted(numbers, last or 0, side="right"))


def _columns(rows: list[tuple[int, int]]) -> Array:
    """Pairs of numbers as two columns, i8[2, n]."""
    return np.array(rows, np.int64).reshape(-1, 2).T
