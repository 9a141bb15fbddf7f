"""Compaction: a timeline's history with fewer steps, and exactly the same states at those that are kept.

    kept        ·    ·    s3   ·    s5   ·    ·    s8
    before      1    2    3    4    5    6    7    8        a segment per change
    after           1+2+3     4+5       6+7+8               a step per kept state

A step is the composition of the segments since the last kept state: the last put of each path, and the paths
that were dropped and not put again. Content that was put and overwritten between two kept states is in no
step, so it is no longer needed. A segment that is a step by itself stays the same object.

Nothing relies on the composition being right. Before a prune drops anything, each new step is read back from
the store and compared with the changes that it replaces. Those are replayed one path after another, by other
code than composed them. Both must have the same effect, to the bit. Histories whose steps have the same
effects lead to the same states, whatever the state before. So the proof costs as much as has changed, not as
much as exists.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...model.columns import Ragged
from ...model.entries import Entries
from ...model.errors import DamageError
from ..format.timeline_segment import TimelineSegment, fold
from ..log.heads import TimelineHead
from ..read.histories import Histories

_DROPPED = -1


@dataclass(frozen=True)
class TimelineChange:
    """One segment of a history. sequence: the log entry to which it leads; before: the timeline's digest
    before it."""

    sequence: int
    head: TimelineHead
    before: str


@dataclass(frozen=True)
class CompactionStep:
    """The changes that become one step; the last of them leads to a kept state."""

    changes: tuple[TimelineChange, ...]

    @property
    def sequence(self) -> int:
        return self.changes[-1].sequence

    @property
    def merges(self) -> bool:
        return len(self.changes) > 1


def changes_of(history: Iterable[tuple[int, TimelineHead]]) -> list[TimelineChange]:
    """history: (log entry, head), oldest first."""
    found: list[TimelineChange] = []
    digest = ""
    for number, head in history:
        found.append(TimelineChange(number, head, digest))
        digest = head.digest
    return found


def steps_of(changes: Sequence[TimelineChange], kept: Collection[int]) -> list[CompactionStep]:
    """A step for each kept sequence among the changes, and for the newest one in any case."""
    steps: list[CompactionStep] = []
    gathered: list[TimelineChange] = []
    for number, change in enumerate(changes, 1):
        gathered.append(change)
        if change.sequence in kept or number == len(changes):
            steps.append(CompactionStep(tuple(gathered)))
            gathered = []
    return steps


def segments_of(
    histories: Histories, timeline: str, steps: Sequence[CompactionStep]
) -> Iterator[tuple[CompactionStep, list[TimelineSegment]]]:
    """Each step with the segments of its changes, read from the vault."""
    pairs = [(change.head, change.before) for step in steps for change in step.changes]
    segments = histories.some(timeline, pairs)
    for step in steps:
        yield step, list(itertools.islice(segments, len(step.changes)))


def composed(segments: Sequence[TimelineSegment]) -> TimelineSegment:
    """One segment with the same effect on any state as these one after another. Its puts are sorted by
    path."""
    if len(segments) == 1:
        return segments[0]
    puts = fold(segments)
    gone = {path for segment in segments for path in segment.tombstones}
    return TimelineSegment(puts, Ragged.of(sorted(gone.difference(puts.path))))


def prove(timeline: str, sequence: int, old: Sequence[TimelineSegment], new: TimelineSegment) -> None:
    """Compares the effect of the `old` segments, one after another, with that of the `new` one.

    Raises DamageError if any state could differ in a single bit; then nothing may be dropped.
    """
    if effect_of(old) != effect_of([new]):
        raise DamageError(
            f"the compacted history of timeline {timeline} differs at log entry {sequence}",
            doing="compact",
            hint="Nothing was dropped. This should not happen: please report it.",
        )


def effect_of(segments: Sequence[TimelineSegment]) -> str:
    """A digest of the segments' effect on any state: for each path that they name, its last put or its
    drop."""
    last: dict[bytes, int] = {}
    rows = 0
    for segment in segments:
        paths = segment.puts.path.tolist()
        last.update(dict.fromkeys(segment.tombstones.tolist(), _DROPPED))
        last.update(zip(paths, range(rows, rows + len(paths)), strict=True))
        rows += len(paths)
    named = sorted(last.items())
    puts = Entries.concat([segment.puts for segment in segments])
    put = puts.take(np.array([row for _, row in named if row != _DROPPED], np.int64))
    dropped = Ragged.of([path for path, row in named if row == _DROPPED])
    return hashlib.sha256(put.encode(level=None, dropped=dropped)).hexdigest()
