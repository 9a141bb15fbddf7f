"""Whether a service meets its recovery point objective: a pure function of the newest point and the clock."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.durations import format_duration
from ..model.service import Objectives

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ObjectiveVerdict:
    """met: None without an objective. age: seconds since the newest point, None without one. rpo: seconds,
    None without an objective. text: the verdict for people."""

    met: bool | None
    age: float | None
    rpo: float | None
    text: str


def verdict(objectives: Objectives, newest_ns: int | None, now_ns: int) -> ObjectiveVerdict:
    """Compares the work that would be lost if the service failed now with the work that may be lost.

    A point from the future (a clock was set back) counts as a point of now.
    """
    rpo = objectives.rpo
    if newest_ns is None:
        return ObjectiveVerdict(None if rpo is None else False, None, rpo, "no point yet")
    age = max(0, now_ns - newest_ns) / SECOND
    if rpo is None:
        return ObjectiveVerdict(None, age, None, "no objective")
    met = age <= rpo
    over = f"over by {format_duration(age - rpo)}"
    return ObjectiveVerdict(met, age, rpo, f"within {format_duration(rpo)}" if met else over)
