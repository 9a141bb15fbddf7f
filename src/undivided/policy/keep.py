"""Which points stay: keep rules as a pure function of columns.

    last: 20                 the newest 20
    hourly … yearly: n       the first point of each of the newest n hours, days, … that have any
    within: 2d               every point of the last two days, counted back from the newest point

A point that no rule keeps expires. Three never do: pinned points, the newest point, and the newest point that
a recovery has proven. Without any rule no point expires.

Points are counted in the order of the log, which cannot be rewritten; the time of a point is only a claim of
its source. So a claim counts no further than its neighbours in the log allow: no point is older than one
before it, nor newer than one after it, nor newer than now. Where claims contradict each other, the log cannot
show which one is wrong. So both readings are taken, one that trusts the earlier entries and one that trusts
the later ones, and a point stays when either reading keeps it.

Of each hour or day the first point stays, not the last: points added later cannot push it out. And a point
that is the first of its month was already the first of its day and its hour, so it passes from rule to rule
without a gap, and pruning often or seldom ends in the same points. Hours and days are those of UTC; a week
begins on Monday. No rule looks at how much time has passed since: only newer points push older ones out, so
no point expires on a service that is no longer protected, nor when a clock jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..model.columns import Array

SECOND = 1_000_000_000
_HOUR, _DAY = 3600 * SECOND, 86400 * SECOND
_MONDAY = 3
"""Days from the Monday before it to the first of January 1970, a Thursday."""

Rules = Mapping[str, float]
"""Rule → how many points it keeps; for `within` seconds. Empty: everything stays."""

_PERIODS: Mapping[str, Callable[[Array], Array]] = {
    "hourly": lambda time: time // _HOUR,
    "daily": lambda time: time // _DAY,
    "weekly": lambda time: (time // _DAY + _MONDAY) // 7,
    "monthly": lambda time: time.astype("M8[ns]").astype("M8[M]").astype(np.int64),
    "yearly": lambda time: time.astype("M8[ns]").astype("M8[Y]").astype(np.int64),
}
REASONS = ("everything", "pinned", "newest", "proven", "last", "within", *_PERIODS)
"""Why a point stays, in the order in which reasons are listed. `everything`: there is no rule."""


@dataclass(frozen=True, slots=True)
class Points:
    """A service's points as columns, in the order of the log. time_ns i8[n]: the instants that their sources
    claim, UTC. pinned, proven ?[n]."""

    time_ns: Array
    pinned: Array
    proven: Array

    @staticmethod
    def of(time_ns: Array) -> Points:
        """None pinned, none proven."""
        nothing = np.zeros(len(time_ns), np.bool_)
        return Points(time_ns, nothing, nothing)

    def __len__(self) -> int:
        return len(self.time_ns)

    def take(self, rows: Array) -> Points:
        return Points(self.time_ns[rows], self.pinned[rows], self.proven[rows])


@dataclass(frozen=True, slots=True)
class Kept:
    """Why each point stays. reasons: u2[n], one bit for each of REASONS; a point without any expires."""

    reasons: Array

    @property
    def kept(self) -> Array:
        """?[n]"""
        return np.not_equal(self.reasons, 0)

    def kept_but_for(self, reason: str) -> Array:
        """?[n]: the points that would stay without this reason."""
        return np.not_equal(np.bitwise_and(self.reasons, ~_bit(reason)), np.uint16(0))

    def why(self, row: int) -> tuple[str, ...]:
        """Why a point stays; empty for a point that expires."""
        bits = int(self.reasons[row])
        return tuple(reason for place, reason in enumerate(REASONS) if bits >> place & 1)

    def by(self, reason: str) -> Array:
        """The rows that stay for this reason, oldest first."""
        return np.flatnonzero(self.reasons & _bit(reason))


def keep(points: Points, rules: Rules, now_ns: int) -> Kept:
    """Which of these points stay, and why. Raises KeyError for an unknown rule."""
    reasons = np.zeros(len(points), np.uint16)
    if not len(points):
        return Kept(reasons)
    if not rules:
        reasons |= _bit("everything")
    reasons[points.pinned] |= _bit("pinned")
    reasons[-1] |= _bit("newest")
    reasons[np.flatnonzero(points.proven)[-1:]] |= _bit("proven")
    for time in readings(points.time_ns, now_ns):
        for rule, amount in rules.items():
            reasons[_kept_by(rule, amount, time)] |= _bit(rule)
    return Kept(reasons)


def readings(time_ns: Array, now_ns: int) -> list[Array]:
    """The times as the order of the log allows them, ascending: one reading when no claim contradicts
    another; else the one that trusts earlier entries, and the one that trusts later entries."""
    claimed = np.minimum(time_ns, now_ns)
    first = np.maximum.accumulate(claimed)
    if np.array_equal(first, claimed):
        return [first]
    return [first, np.minimum.accumulate(claimed[::-1])[::-1]]


def _kept_by(rule: str, amount: float, time: Array) -> Array:
    """The rows that one rule keeps of points whose times ascend."""
    if rule == "within":
        since = int(time[-1]) - round(amount * SECOND)
        return np.arange(np.searchsorted(time, since), len(time))
    if rule == "last":
        return np.arange(max(0, len(time) - int(amount)), len(time))
    period = _PERIODS[rule](time)
    firsts = np.flatnonzero(np.diff(period, prepend=period[0] - 1))
    return firsts[-int(amount) :]


def _bit(reason: str) -> np.uint16:
    return np.uint16(1 << REASONS.index(reason))
