"""The roots: what must be kept. Every kept point's timelines as of that point, and the newest state of every
timeline, because its source continues it.

A prune entry is a checkpoint of this too: it lists the remaining points and the timelines' newest heads. So
the next prune reads the log from there, not from its start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ...model.log_kinds import LogKind
from ..format.log_entry import LogEntry
from ..index.damage_marks import learn_broken
from ..log.errors import ConflictError
from ..log.heads import TimelineHead


class Roots:
    """Learned from the log, entry by entry. points: id → {timeline: sequence}; heads: the newest head of each
    timeline; broken: timelines that were found broken since the newest prune, which could read all that it
    left; expired and dropped: points and timelines that this prune removes; shortened: timelines whose end it
    removes; named: objects that entries name, by kind."""

    def __init__(self, pruned: LogEntry | None) -> None:
        """pruned: the newest prune entry before the entries that will be learned."""
        self.points: dict[str, dict[str, int]] = {}
        self.heads: dict[str, TimelineHead] = {}
        self.broken: set[str] = set()
        self.expired: tuple[str, ...] = ()
        self.dropped: tuple[str, ...] = ()
        self.shortened: tuple[str, ...] = ()
        self.named: dict[str, set[str]] = {"index": set(), "timeline": set()}
        if pruned:
            self._name(pruned, (name for steps in pruned.body["timelines"].values() for _, name in steps))
            self.points = {point: dict(parts) for point, parts in pruned.body["points"].items()}
            self.heads = {t: TimelineHead(**record) for t, record in pruned.links["heads"].items()}

    def learn(self, entry: LogEntry) -> None:
        """The next entry of the log. Raises ConflictError when it contradicts this prune."""
        heads = {t: TimelineHead(**record) for t, record in entry.links.get("heads", {}).items()}
        if entry.kind == LogKind.PRUNE:
            raise ConflictError("another prune was faster")
        if not heads.keys().isdisjoint(self.dropped + self.shortened):
            raise ConflictError("a new point was committed to a timeline that this prune was about to delete")
        if entry.kind == LogKind.PIN and entry.body.get("pinned") and entry.body.get("point") in self.expired:
            raise ConflictError("a point that this prune was about to expire was pinned")
        self.heads |= heads
        learn_broken(self.broken, entry)
        self._name(entry, (c.segment for c in heads.values() if c.sequence == entry.number))
        point: Any = entry.body.get("point")
        if isinstance(point, dict) and heads:
            parts = [str(part["timeline"]) for part in point.get("components", {}).values()]
            # A second point of the same id takes nothing away from the first.
            self.points.setdefault(str(point["id"]), {t: heads[t].sequence for t in parts if t in heads})

    def forget(self, points: Collection[str]) -> None:
        """Takes points out, and the timelines that no other point uses. Unknown ids do no harm."""
        gone = [point for point in self.points if point in points]
        held = {timeline for point in gone for timeline in self.points[point]}
        for point in gone:
            del self.points[point]
        for parts in self.points.values():
            held.difference_update(parts)
        self.expired += tuple(gone)
        self.dropped += tuple(sorted(held))
        for timeline in held:
            self.heads.pop(timeline, None)

    def cut(self, timeline: str, head: TimelineHead) -> None:
        """Makes an earlier state of a timeline its newest one."""
        self.heads[timeline] = head
        self.shortened += (timeline,)

    def _name(self, entry: LogEntry, segments: Iterable[str]) -> None:
        self.named["timeline"].update(segments)
        self.named["index"].update(entry.links.get("index", ()))

    def copy(self) -> Roots:
        other = Roots(None)
        other.points, other.heads = dict(self.points), dict(self.heads)
        other.broken = set(self.broken)
        other.expired, other.dropped, other.shortened = self.expired, self.dropped, self.shortened
        other.named = {kind: set(names) for kind, names in self.named.items()}
        return other

    def held(self) -> dict[str, set[int]]:
        """Timeline → the sequences that points see last."""
        found: dict[str, set[int]] = {}
        for parts in self.points.values():
            for timeline, sequence in parts.items():
                found.setdefault(timeline, set()).add(sequence)
        return found
