"""Compaction: a timeline's history with fewer steps, and exactly the same states at those that are kept.

    kept        ·    ·    s3   ·    s5   ·    ·    s8
    before      1    2    3    4    5    6    7    8        a segment per change
    after           1+2+3     4+5       6+7+8               a step per kept state

A step is the composition of the segments since the last kept state: the last put of each path, and the paths
that were dropped and not put again. What was put and overwritten between two kept states is in no step, so
its content is needed no more. A segment that is a step by itself stays the object it is.

Nothing rests on the composition being right: before a prune drops anything, the state at every kept point is
computed from the old segments and from the new ones as they were stored, and both must be the same to the
bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from ..model.columns import Ragged
from ..model.entries import Entries
from ..model.errors import DamageError
from .contents import Histories
from .links import Chain
from .timeline import Segment, fold


@dataclass(frozen=True)
class Change:
    """One segment of a history as it is. sequence: the log entry that it leads to; before: the timeline's
    digest before it."""

    sequence: int
    chain: Chain
    before: str


@dataclass(frozen=True)
class Step:
    """The changes that become one step; the last of them leads to a kept state."""

    changes: tuple[Change, ...]

    @property
    def sequence(self) -> int:
        return self.changes[-1].sequence

    @property
    def merges(self) -> bool:
        return len(self.changes) > 1


def changes_of(history: Iterable[tuple[int, Chain]]) -> list[Change]:
    """history: (log entry, chain), oldest first."""
    found: list[Change] = []
    digest = ""
    for number, chain in history:
        found.append(Change(number, chain, digest))
        digest = chain.digest
    return found


def steps_of(changes: Sequence[Change], kept: Collection[int]) -> list[Step]:
    """A step for each kept sequence among the changes, and for the newest one in any case."""
    steps: list[Step] = []
    gathered: list[Change] = []
    for number, change in enumerate(changes, 1):
        gathered.append(change)
        if change.sequence in kept or number == len(changes):
            steps.append(Step(tuple(gathered)))
            gathered = []
    return steps


def segments_of(histories: Histories, timeline: str, step: Step) -> list[Segment]:
    """What the step's changes added, read from the vault."""
    return [histories.segment(timeline, change.chain, change.before) for change in step.changes]


def composed(segments: Sequence[Segment]) -> Segment:
    """One segment that does to any state what these do one after another. Its puts are sorted by path."""
    if len(segments) == 1:
        return segments[0]
    puts = fold(segments)
    gone = {path for segment in segments for path in segment.tombstones}
    return Segment(puts, Ragged.of(sorted(gone.difference(puts.path))))


def prove(
    timeline: str,
    steps: Sequence[Step],
    old: Callable[[Step], Sequence[Segment]],
    new: Callable[[Step], Segment],
) -> None:
    """Compares the state at every step's sequence, as `old` segments give it, with what the `new` ones give.

    Raises DamageError at the first that differs in a single bit; then nothing may be dropped.
    """
    state = Entries.none()
    last = max((number for number, step in enumerate(steps) if step.merges), default=-1)
    for step in steps[: last + 1]:
        so_far = Segment(state, Ragged.empty(0))
        state = fold([so_far, new(step)])
        if step.merges and state_digest(fold([so_far, *old(step)])) != state_digest(state):
            raise DamageError(
                f"the compacted history of timeline {timeline} differs at log entry {step.sequence}",
                doing="compact",
                hint="Nothing was dropped. This should not happen: please report it.",
            )


def state_digest(state: Entries) -> str:
    """Equal for equal states only."""
    return hashlib.sha256(state.encode(level=None)).hexdigest()
