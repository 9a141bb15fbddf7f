"""One timeline in its own vault, committed by hand: for tests of recovery without a running application."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ..host.rooted import RootedDirectory
from ..model.columns import Ragged
from ..model.entries import Entries, Entry, Layout
from ..model.log_kinds import LogKind
from ..model.point import ComponentPoint, Consistency, Position, RecoveryPoint
from ..model.streams import Piece
from ..tree.read import Reading
from ..tree.walk import walk
from ..vault.stores.memory import MemoryStore
from ..vault.vault import TimelineSegment, Vault


class History:
    """Each commit returns the component's part of a point at that state."""

    def __init__(self, timeline: str = "t") -> None:
        self.timeline = timeline
        self.store = MemoryStore()
        self.vault = Vault.create(self.store, "a passphrase")

    def rows(self, rows: Sequence[tuple[Entry, bytes]], tombstones: Sequence[bytes] = ()) -> ComponentPoint:
        """Entries with their content, and tombstones."""
        puts = Entries.of([replace(entry, size=entry.size or len(data)) for entry, data in rows])
        pieces = ((row, data, True) for row, (_, data) in enumerate(rows) if data)
        return self._commit(puts, pieces, tombstones)

    def tree(self, root: Path) -> ComponentPoint:
        """A whole directory in its present state."""
        with RootedDirectory(root) as beneath:
            reading = Reading(beneath, walk(beneath))
            return self._commit(reading.entries, reading.pieces(), ())

    @staticmethod
    def point(part: ComponentPoint) -> RecoveryPoint:
        """A point of a service with this one component."""
        return RecoveryPoint("p1", "portal", 10**18, Consistency.CRASH, 1.0, 1.0, {part.name: part})

    def _commit(self, puts: Entries, pieces: Iterable[Piece], tombstones: Sequence[bytes]) -> ComponentPoint:
        with self.vault.writer() as writer:
            content = writer.store(pieces, len(puts), Layout.CONTENT)
            segment = TimelineSegment(replace(puts, content=content), Ragged.of(list(tombstones)))
            entry = writer.commit(
                LogKind.POINT, {self.timeline: segment}, lambda place: {"digests": dict(place.digests)}
            )
        digest = entry.body["digests"][self.timeline]
        return ComponentPoint(
            "site", "files", self.timeline, entry.number, digest, Consistency.CRASH, Position("1")
        )
