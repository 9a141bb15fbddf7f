"""The roots: what must stay. Every kept point's timelines as of that point, and the newest state of every
timeline, for some source goes on from it.

A prune entry is a checkpoint of this too: it lists the points that were left and the timelines' newest
chains, so the next prune reads the log from there and not from its start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from ..format.log_entry import LogEntry
from ..index.damage_marks import learn_broken
from ..log.errors import ConflictError
from ..log.heads import TimelineHead
from ..log.slot import PRUNE


class Roots:
    """Learned from the log, entry by entry. points: id → {timeline: sequence}; chains: the newest of each
    timeline; torn: timelines found torn since the newest prune, for what that one left can be read; expired
    and dropped: what goes with this prune; shortened: timelines of which the end goes; named: objects that
    entries name, by kind."""

    def __init__(self, pruned: LogEntry | None) -> None:
        """pruned: the newest prune entry before what will be learned."""
        self.points: dict[str, dict[str, int]] = {}
        self.chains: dict[str, TimelineHead] = {}
        self.torn: set[str] = set()
        self.expired: tuple[str, ...] = ()
        self.dropped: tuple[str, ...] = ()
        self.shortened: tuple[str, ...] = ()
        self.named: dict[str, set[str]] = {"index": set(), "timeline": set()}
        if pruned:
            self._name(pruned, (name for steps in pruned.body["timelines"].values() for _, name in steps))
            self.points = {point: dict(parts) for point, parts in pruned.body["points"].items()}
            self.chains = {t: TimelineHead(**record) for t, record in pruned.links["heads"].items()}

    def learn(self, entry: LogEntry) -> None:
        """The next entry of the log. Raises ConflictError when it contradicts what was to be expired."""
        chains = {t: TimelineHead(**record) for t, record in entry.links.get("heads", {}).items()}
        if entry.kind == PRUNE:
            raise ConflictError("another maintenance was quicker")
        if not chains.keys().isdisjoint(self.dropped + self.shortened):
            raise ConflictError("a history that was to be dropped is gone on with")
        if entry.kind == "pin" and entry.body.get("pinned") and entry.body.get("point") in self.expired:
            raise ConflictError("a point that was to be expired was pinned")
        self.chains |= chains
        learn_broken(self.torn, entry)
        self._name(entry, (c.segment for c in chains.values() if c.sequence == entry.number))
        point: Any = entry.body.get("point")
        if isinstance(point, dict) and chains:
            parts = [str(part["timeline"]) for part in point.get("components", {}).values()]
            # Whoever adds a second point of the same id takes nothing from the first.
            self.points.setdefault(str(point["id"]), {t: chains[t].sequence for t in parts if t in chains})

    def forget(self, points: Collection[str]) -> None:
        """Takes points out, and with them the timelines that no other point is of. Ids that are not there
        (any more) do no harm."""
        gone = [point for point in self.points if point in points]
        held = {timeline for point in gone for timeline in self.points[point]}
        for point in gone:
            del self.points[point]
        for parts in self.points.values():
            held.difference_update(parts)
        self.expired += tuple(gone)
        self.dropped += tuple(sorted(held))
        for timeline in held:
            self.chains.pop(timeline, None)

    def cut(self, timeline: str, chain: TimelineHead) -> None:
        """Takes what is behind an earlier state of a timeline out: from now on that is its newest."""
        self.chains[timeline] = chain
        self.shortened += (timeline,)

    def _name(self, entry: LogEntry, segments: Iterable[str]) -> None:
        self.named["timeline"].update(segments)
        self.named["index"].update(entry.links.get("index", ()))

    def copy(self) -> Roots:
        other = Roots(None)
        other.points, other.chains = dict(self.points), dict(self.chains)
        other.torn = set(self.torn)
        other.expired, other.dropped, other.shortened = self.expired, self.dropped, self.shortened
        other.named = {kind: set(names) for kind, names in self.named.items()}
        return other

    def held(self) -> dict[str, set[int]]:
        """For each timeline that some point is of, the sequences at which it is."""
        found: dict[str, set[int]] = {}
        for parts in self.points.values():
            for timeline, sequence in parts.items():
                found.setdefault(timeline, set()).add(sequence)
        return found
