"""Torn histories under a prune: a segment that is lost takes every state after it with it.

    segments    1    2    3    ✗    5    6
    points           a         b         c        b and c are lost; a is whole

A prune must read what it keeps, so it refuses as long as b and c are points: somebody has to heal the segment
from a copy, or to give them up by name. When they are given up, nothing needs the states behind a. In any
other timeline the newest state stays even without a point, because its source goes on from it. From one that
the log says is torn nobody goes on (vault/index/damage_marks.py), so it is cut behind the last state that has
a point."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...model.errors import DamageError
from ..log.heads import TimelineHead, history_of
from ..log.log import Log
from ..read.histories import Histories
from .compaction import CompactionStep
from .roots import Roots

States = Mapping[str, Mapping[str, int]]
"""Point → timeline → the sequence at which it is."""


def cut_broken(log: Log, roots: Roots) -> None:
    """Takes the end of each torn timeline that no point holds out of the roots. It looks at no entry that the
    roots have not learned: the plan is as of those."""
    held = roots.held()
    for timeline in roots.torn & roots.chains.keys() & held.keys():
        last = max(held[timeline])
        if last < roots.chains[timeline].sequence:
            history = history_of(log, timeline, last)
            roots.cut(timeline, history[-1][1] if history else TimelineHead())


def refuse_broken(
    histories: Histories, steps: Mapping[str, Sequence[CompactionStep]], points: States, error: DamageError
) -> DamageError:
    """What to raise in place of `error`, with which some step could not be read: it says which points are
    lost, and the ways out. points: all that there are, also those that this prune was to forget, for the keep
    rules may want them again once the others are given up."""
    lost = {
        timeline: number for timeline, own in steps.items() if (number := _lost(histories, timeline, own))
    }
    names = [point for point, parts in points.items() if any(parts.get(t, 0) >= n for t, n in lost.items())]
    if not names:
        return error
    return DamageError(
        f"{error.cause}; without it these points are lost: {', '.join(names)}",
        doing="prune",
        hint="Nothing was given up. `undivided repair --from COPY` heals it if a copy of the vault has it. "
        "Else give these points up: `undivided verify`, which notes down that the history is torn, "
        "`undivided protect` so that there is a newer one, then `undivided prune "
        f"{' '.join(f'--forget {name}' for name in names)}`.",
    )


def _lost(histories: Histories, timeline: str, steps: Sequence[CompactionStep]) -> int:
    """The first log entry whose segment cannot be read; 0 when all can."""
    for change in (change for step in steps for change in step.changes):
        try:
            histories.segment(timeline, change.chain, change.before)
        except DamageError:
            return change.sequence
    return 0
