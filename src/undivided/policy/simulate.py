"""The steady state of keep rules: which points a service has after a long time of points at a steady
interval.

Nothing is estimated: the points are laid out in time, and the function that prunes counts them. Pruning often
and pruning once end in the same points, so it is called once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.columns import Array
from ..model.durations import format_duration
from ..model.errors import UsageError
from .keep import REASONS, SECOND, Points, Rules, keep

MOST = 20_000_000
"""Points of one simulation: as many as one a second for 230 days."""


@dataclass(frozen=True, slots=True)
class Share:
    """The points that one rule keeps: how many, how many of them no other rule keeps, and the age of the
    oldest in seconds."""

    rule: str
    points: int
    alone: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Steady:
    """taken: how many points were taken; kept: how many stay. oldest: age in seconds of the oldest that
    stays."""

    taken: int
    kept: int
    oldest: float
    shares: tuple[Share, ...]


def steady_state(rules: Rules, every: float, over: float, now_ns: int) -> Steady:
    """After one point every `every` seconds, for `over` seconds, the last one now. Raises UsageError when
    that makes more than MOST points."""
    count = int(over / every) + 1
    if count > MOST:
        raise UsageError(
            f"a point every {format_duration(every)} for {format_duration(over)} makes {count} points",
            doing="simulate",
            hint=f"At most {MOST} can be simulated: choose a shorter time (--over) or a longer interval "
            "(--mark).",
        )
    step = round(every * SECOND)
    times = now_ns - step * np.arange(count - 1, -1, -1)
    kept = keep(Points.of(times), rules, now_ns)
    stay = np.flatnonzero(kept.kept)

    def age(row: int) -> float:
        return (now_ns - int(times[row])) / SECOND

    shares = tuple(
        Share(rule, len(rows), int(np.isin(rows, _by_one(kept.reasons)).sum()), age(rows[0]))
        for rule in REASONS
        if len(rows := kept.by(rule))
    )
    return Steady(count, len(stay), age(stay[0]), shares)


def usual_pace(time_ns: Array) -> float | None:
    """Seconds between the points so far: the median; None with fewer than two."""
    gaps = np.diff(np.maximum.accumulate(time_ns))
    gaps = gaps[gaps > 0]
    return float(np.median(gaps)) / SECOND if len(gaps) else None


def _by_one(reasons: Array) -> Array:
    """The rows with exactly one reason."""
    return np.flatnonzero((reasons != 0) & (reasons & (reasons - np.uint16(1)) == 0))
