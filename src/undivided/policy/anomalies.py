"""Anomalies: the reasons to suspend pruning until an operator has checked.

An intruder with a source's keys can add points and claim any time for them. Keep rules that count can then be
made to push good points out. So before any point expires, the log itself is checked:

    flood       points came far faster than usual, and because of them other points would expire
    backwards   times in the log go back
    future      the newest times in the log are later than this machine's clock
    leap        time jumped ahead by far more than ever before

None of these is an error by itself: it may have been a test, or a clock that was set right. An operator who
knows the cause accepts the anomaly (`--despite flood`) and the pruning continues. Everything before a prune
that was carried out is settled, and is not reported again.

Safety does not depend on this alone: by the rules of keep.py only newer points push points out, never the
time on a clock.
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
"""The clocks of machines that write into one vault may differ by this much."""
LEAP = 30 * 86400 * SECOND
"""A shorter gap is a holiday."""
LEAP_FACTOR = 2
"""A gap that is less than this many times the longest gap before it is normal for this vault."""
FLOOD_FACTOR = 10
FLOOD_LEAST = 100
"""An hour may have FLOOD_FACTOR times as many points as usual, and FLOOD_LEAST in any case."""
USUAL_HOURS = 720
"""The usual number of points in an hour is the median of this many hours before it that had points. It is a
number of hours, so that a flood of points does not change it."""
_HOUR = 3600 * SECOND

REASONS = ("flood", "backwards", "future", "leap")


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A reason to suspend pruning. reason: one of REASONS. text: the observation, as a clause."""

    reason: str
    text: str
    hint: str


def of_clock(times_ns: Array, settled: int, now_ns: int) -> list[Anomaly]:
    """Anomalies of the clock and of the times in the log. times_ns: of all entries, in the order of the log;
    the first `settled` of them end with the last prune."""
    found = [backwards(times_ns, settled), future(times_ns, settled, now_ns), leap(times_ns, settled, now_ns)]
    return [anomaly for anomaly in found if anomaly]


def of_points(
    ever_ns: Array, live: Array, points: Points, settled: int, rules: Rules, mark: float | None, now_ns: int
) -> list[Anomaly]:
    """Anomalies of the points of one service.

    ever_ns: the instants of all points that it ever had, in the order of the log; `points` are those at the
    rows `live` of them; the first `settled` came before the last prune that expired any point of this
    service. mark: seconds between points, from its service file.
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
        f"the log has an entry of {iso_utc(before)}, and after it one of {iso_utc(after)}",
        "Check the clocks of the machines that write into this vault; an intruder may also claim wrong "
        "times. Points whose times contradict each other are kept if either time keeps them.",
    )


def future(times_ns: Array, settled: int, now_ns: int) -> Anomaly | None:
    ahead = int(_recent(times_ns, settled).max(initial=now_ns)) - now_ns
    if ahead <= TOLERANCE:
        return None
    return Anomaly(
        "future",
        f"the log is {format_duration(ahead / SECOND)} ahead of this machine's clock, {iso_utc(now_ns)}",
        "Check this machine's clock.",
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
        f"there are no entries between {iso_utc(int(moments[at]))} and {iso_utc(int(moments[at + 1]))}, "
        f"which is {format_duration(int(gaps[at]) / SECOND)}",
        "Check this machine's clock, and whether the vault was really unused so long.",
    )


def flood(
    ever_ns: Array, live: Array, points: Points, settled: int, rules: Rules, mark: float | None, now_ns: int
) -> Anomaly | None:
    """The burst is the points of each hour beyond the number it may have. It only counts when it does harm:
    when a point would stay without the burst and would expire with it."""
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
        f"{len(of_burst)} points more than the {int(most[of_burst[0]])} that an hour may have here were "
        f"taken {when} (UTC); because of them {pushed_out} others would expire",
        "Check which machine took them. If points should be taken this often, set policy.mark in the service "
        "file.",
    )


def _most(counts: Array, first: int, mark: float | None) -> Array:
    """How many points each hour may have, by the hours before it; hours before `first` may have any
    number."""
    configured = 3600 / mark if mark else 0.0
    most = np.full(len(counts), np.iinfo(np.int64).max)
    for hour in range(first, len(counts)):
        before = counts[max(0, hour - USUAL_HOURS) : hour]
        usual = max(float(np.median(before)) if len(before) else 0.0, configured)
        most[hour] = max(FLOOD_LEAST, round(FLOOD_FACTOR * usual))
    return most


def suspended(anomalies: Iterable[Anomaly], doing: str) -> UndividedError:
    """These anomalies as a failure."""
    found = list(anomalies)
    despite = " ".join(f"--despite {reason}" for reason in dict.fromkeys(s.reason for s in found))
    hints = " ".join(dict.fromkeys(anomaly.hint for anomaly in found))
    cause = "; ".join(f"{anomaly.reason}: {anomaly.text}" for anomaly in found)
    return UndividedError(
        f"pruning is suspended: {cause}",
        doing=doing,
        hint=f"{hints} When you know the cause, run it again with {despite}.",
    )


def _recent(times_ns: Array, settled: int) -> Array:
    """The times from the last settled entry on."""
    return times_ns[max(0, settled - 1) :]
