"""When not to forget: the reasons for which pruning is suspended until somebody has looked.

Whoever holds a source's keys can add points and claim any time for them. Rules that count can then be made to
push good points out; so before anything is expired, the log itself is looked at:

    flood       points came far faster than is usual, and because of them others would be expired
    backwards   times in the log go back
    future      the newest of them have not come yet
    leap        time jumped ahead, by far more than it ever did before

None of this is an error by itself: somebody may have tested, a clock may have been set right. A person who
knows names the reason (`--despite flood`) and the pruning goes on; what came before a prune that went through
is settled, and not asked about again.

Nothing here is needed for safety alone: by the rules of keep.py points are pushed out by newer points only,
and never because a clock says that time has passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..model.columns import Array
from ..model.durations import format_duration
from ..model.errors import UndividedError
from ..model.times import iso_utc
from .keep import SECOND, Points, Rules, keep, readings

TOLERANCE = 5 * 60 * SECOND
"""So much may the clocks of those who write into one vault differ."""
LEAP = 30 * 86400 * SECOND
"""A gap of less is a holiday."""
LEAP_FACTOR = 2
"""And one of less than this many times the longest gap before it is how this vault is used."""
FLOOD_FACTOR = 10
FLOOD_LEAST = 100
"""An hour may have so many times what was usual before it, and in any case this many points."""
USUAL_HOURS = 720
"""What is usual in an hour: the median of the last so many hours that had any points. Hours count: however
many points somebody adds, they do not get more hours."""
_HOUR = 3600 * SECOND

REASONS = ("flood", "backwards", "future", "leap")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Why nothing is destroyed for now. reason: one of REASONS. says: what was seen, as a clause."""

    reason: str
    says: str
    hint: str


def of_clock(times_ns: Array, settled: int, now_ns: int) -> list[Anomaly]:
    """What is wrong with the clock or the times in the log. times_ns: of all entries, in its order; the first
    `settled` of them end with the last prune."""
    found = [backwards(times_ns, settled), future(times_ns, settled, now_ns), leap(times_ns, settled, now_ns)]
    return [anomaly for anomaly in found if anomaly]


def of_points(
    ever_ns: Array, live: Array, points: Points, settled: int, rules: Rules, mark: float | None, now_ns: int
) -> list[Anomaly]:
    """What is wrong with the points of one service.

    ever_ns: the instants of all points that it ever had, in the order of the log; `points` are those at the
    rows `live` of them; the first `settled` came before the last prune that forgot any of this service. mark:
    seconds between points as its service file says.
    """
    found = [
        flood(ever_ns, live, points, settled, rules, mark, now_ns),
        backwards(ever_ns, settled),
        future(ever_ns, settled, now_ns),
    ]
    return [anomaly for anomaly in found if anomaly]


def backwards(times_ns: Array, settled: int) -> Anomaly | None:
    recent = _recent(times_ns, settled)
    back = np.maximum.accumulate(recent) - recent
    if not len(back) or back.max() <= TOLERANCE:
        return None
    at = int(np.argmax(back))
    before, after = int(recent[: at + 1].max()), int(recent[at])
    return Anomaly(
        "backwards",
        f"after {iso_utc(before)} the log goes on at {iso_utc(after)}",
        "Some clock was wrong, or somebody claims wrong times. Points whose times contradict each other are "
        "kept by either reading.",
    )


def future(times_ns: Array, settled: int, now_ns: int) -> Anomaly | None:
    ahead = int(_recent(times_ns, settled).max(initial=now_ns)) - now_ns
    if ahead <= TOLERANCE:
        return None
    return Anomaly(
        "future",
        f"the log is {format_duration(ahead / SECOND)} ahead of this machine's clock, {iso_utc(now_ns)}",
        "Is the clock right?",
    )


def leap(times_ns: Array, settled: int, now_ns: int) -> Anomaly | None:
    if not len(times_ns):
        return None
    moments = np.maximum.accumulate(np.append(times_ns, max(now_ns, int(times_ns[-1]))))
    gaps = np.diff(moments)
    longest_before = np.maximum.accumulate(np.append(0, gaps[:-1]))
    leaps = gaps > np.maximum(LEAP, LEAP_FACTOR * longest_before)
    leaps[: max(0, settled - 1)] = False
    if not leaps.any():
        return None
    at = int(np.argmax(np.where(leaps, gaps, 0)))
    return Anomaly(
        "leap",
        f"between {iso_utc(int(moments[at]))} and {iso_utc(int(moments[at + 1]))} nothing happened: "
        f"{format_duration(int(gaps[at]) / SECOND)} at once",
        "Is the clock right?",
    )


def flood(
    ever_ns: Array, live: Array, points: Points, settled: int, rules: Rules, mark: float | None, now_ns: int
) -> Anomaly | None:
    """The burst is what hours have beyond what they may. It only matters if it does harm: if a point stays
    without the burst, and does not with it."""
    if not len(live):
        return None
    hours = readings(ever_ns, now_ns)[0] // _HOUR
    numbers, begins, place, counts = np.unique(
        hours, return_index=True, return_inverse=True, return_counts=True
    )
    most = _most(counts, int(place[settled]) if settled < len(hours) else len(counts), mark)
    nth_of_hour = np.arange(len(hours)) - begins[place]
    burst = (nth_of_hour >= most[place]) & (np.arange(len(hours)) >= settled)
    calm = np.flatnonzero(~burst[live])
    if len(calm) == len(live):
        return None
    stays = keep(points, rules, now_ns).kept
    without = keep(points.take(calm), rules, now_ns).kept_but_for("newest")
    pushed_out = int((without & ~stays[calm]).sum())
    if not pushed_out:
        return None
    of_burst = place[burst]
    began, ended = (iso_utc(int(numbers[hour]) * _HOUR)[:13] for hour in (of_burst[0], of_burst[-1]))
    when = f"in the hour {began}" if began == ended else f"from the hour {began} to {ended}"
    return Anomaly(
        "flood",
        f"{len(of_burst)} points more than the {int(most[of_burst[0]])} that an hour may have here came "
        f"{when} (UTC); because of them {pushed_out} others would be expired",
        "Who made them? If points are to come this often, say `mark` in the policy of the service file.",
    )


def _most(counts: Array, first: int, mark: float | None) -> Array:
    """How many points each hour may have, by the hours before it; those before `first` any number."""
    agreed = 3600 / mark if mark else 0.0
    most = np.full(len(counts), np.iinfo(np.int64).max)
    for hour in range(first, len(counts)):
        before = counts[max(0, hour - USUAL_HOURS) : hour]
        usual = max(float(np.median(before)) if len(before) else 0.0, agreed)
        most[hour] = max(FLOOD_LEAST, round(FLOOD_FACTOR * usual))
    return most


def suspended(anomalies: Iterable[Anomaly], doing: str) -> UndividedError:
    """The failure that these anomalies are."""
    found = list(anomalies)
    despite = " ".join(f"--despite {reason}" for reason in dict.fromkeys(s.reason for s in found))
    hints = " ".join(dict.fromkeys(anomaly.hint for anomaly in found))
    cause = "; ".join(f"{anomaly.reason}: {anomaly.says}" for anomaly in found)
    return UndividedError(
        f"nothing is expired for now: {cause}",
        doing=doing,
        hint=f"{hints} When you have looked: {despite}.",
    )


def _recent(times_ns: Array, settled: int) -> Array:
    """From the last settled one on."""
    return times_ns[max(0, settled - 1) :]
