"""Whether a service meets its recovery point objective: a pure function of the newest point and the clock."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.durations import format_duration
from ..model.service import Objectives

SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ObjectiveVerdict:
    """met: None when nothing was agreed. age: seconds since the newest point, None without one."""

    met: bool | None
    age: float | None
    rpo: float | None
    says: str


def verdict(objectives: Objectives, newest_ns: int | None, now_ns: int) -> ObjectiveVerdict:
    """What would be lost if the service failed now, against what may be lost.

    A point from the future (a clock was set back) is no younger than now.
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
