"""What keep rules come to after a while: the steady state of a service that is protected at a steady pace.

Nothing is estimated: the points are laid out in time and the very function that prunes counts them. Since
pruning often and pruning once end in the same points, once is enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..model.columns import Array
from ..model.durations import format_duration
from ..model.errors import UsageError
from .keep import REASONS, SECOND, Points, Rules, keep

MOST = 20_000_000
"""Points of one simulation: as many as one a second in 230 days."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one rule keeps: how many points, how many of them no other rule does, and the age of the oldest in
    seconds."""

    rule: str
    points: int
    alone: int
    oldest: float


@dataclass(frozen=True, slots=True)
class Steady:
    """taken: how many points came in all; kept: how many stay. oldest: age of the oldest in seconds."""

    taken: int
    kept: int
    oldest: float
    shares: tuple[Share, ...]


def steady_state(rules: Rules, every: float, over: float, now_ns: int) -> Steady:
    """After one point `every` so many seconds for `over` seconds, the last one now. Raises UsageError when
    that is too many to lay out."""
    count = int(over / every) + 1
    if count > MOST:
        raise UsageError(
            f"a point every {format_duration(every)} over {format_duration(over)} makes {count} points",
            doing="simulate",
            hint=f"At most {MOST} are counted: simulate a shorter time (--over), or a slower pace (--mark).",
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
    """Seconds between points as they came: the median; None when fewer than two did."""
    gaps = np.diff(np.maximum.accumulate(time_ns))
    gaps = gaps[gaps > 0]
    return float(np.median(gaps)) / SECOND if len(gaps) else None


def _by_one(reasons: Array) -> Array:
    """The rows with exactly one reason."""
    return np.flatnonzero((reasons != 0) & (reasons & (reasons - np.uint16(1)) == 0))
