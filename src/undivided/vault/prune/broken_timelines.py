"""Broken timelines under a prune: with a lost segment, every state after it is lost.

    segments    1    2    3    ✗    5    6
    points           a         b         c        b and c are lost; a is whole

A prune must read what it keeps, so it refuses as long as b and c are points: an operator has to restore the
segment from a copy, or to expire these points by name. Then nothing needs the states behind a. In any other
timeline the newest state is kept even without a point, because its source continues it. No source continues a
timeline that the log marks as broken (vault/index/damage_marks.py), so it is cut behind its last state that
has a point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...model.errors import DamageError
from ..log.heads import TimelineHead, history_of
from ..log.log import Log
from ..read.histories import Histories
from .compaction import CompactionStep
from .roots import Roots

States = Mapping[str, Mapping[str, int]]
"""Point → timeline → the sequence that it sees last."""


def cut_broken(log: Log, roots: Roots) -> None:
    """Takes the end of each broken timeline, behind its last point, out of the roots. Reads no entry that the
    roots have not learned: the plan is as of those."""
    held = roots.held()
    for timeline in roots.broken & roots.heads.keys() & held.keys():
        last = max(held[timeline])
        if last < roots.heads[timeline].sequence:
            history = history_of(log, timeline, last)
            roots.cut(timeline, history[-1][1] if history else TimelineHead())


def refuse_broken(
    histories: Histories, steps: Mapping[str, Sequence[CompactionStep]], points: States, error: DamageError
) -> DamageError:
    """The error to raise instead of `error`, with which a step could not be read: it names the lost points
    and the ways out. points: all points, also those that this prune was to expire, because the keep rules may
    want them again once the others have expired."""
    lost = {
        timeline: number for timeline, own in steps.items() if (number := _lost(histories, timeline, own))
    }
    names = [point for point, parts in points.items() if any(parts.get(t, 0) >= n for t, n in lost.items())]
    if not names:
        return error
    return DamageError(
        f"{error.cause}; without it these points are lost: {', '.join(names)}",
        doing="prune",
        hint="Nothing was expired. If a copy of the vault has it, run `undivided repair --from COPY`. "
        "Otherwise expire these points: run `undivided verify`, which marks the timeline as broken, then "
        "`undivided protect` for a newer point, then `undivided prune "
        f"{' '.join(f'--forget {name}' for name in names)}`.",
    )


def _lost(histories: Histories, timeline: str, steps: Sequence[CompactionStep]) -> int:
    """The first log entry whose segment cannot be read; 0 when all can be read."""
    for change in (change for step in steps for change in step.changes):
        try:
            histories.segment(timeline, change.head, change.before)
        except DamageError:
            return change.sequence
    return 0
