"""What damage means: from lost chunks to rows of timelines, and from there to points and paths.

A timeline is followed commit by commit. `current` holds the paths whose latest version cannot be had whole;
at each entry that is a point, what is current then is what that point has lost. A lost timeline segment
touches every point after it: which files it held, nobody can say.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..model.entries import CHUNK_ID_BYTES
from ..model.errors import DamageError
from . import timeline as timelines
from .contents import ContentKeys, Histories
from .entry import LogEntry
from .index import Index
from .links import Chain
from .log import Log
from .report import Damage, Report
from .sealed import SealedObject, digest_of
from .stores.base import Store, StoreError
from .timeline import Segment


class Blame:
    """Completes a report's damages with points and files. good: the index without damaged packs; named: with
    them. lost: the chunks in them that cannot be read, each with its damage."""

    def __init__(
        self,
        store: Store,
        log: Log,
        contents: ContentKeys,
        report: Report,
        good: Index,
        named: Index,
        lost: dict[bytes, Damage],
    ) -> None:
        self._store = store
        self._histories = Histories(store, log, contents)
        self._report, self._good, self._named, self._lost = report, good, named, lost

    def run(self, entries: list[LogEntry]) -> None:
        for timeline in sorted({t for e in entries for t in e.links.get("chains", {})}):
            self._follow(timeline, entries)

    def _follow(self, timeline: str, entries: list[LogEntry]) -> None:
        current: dict[bytes, list[Damage]] = {}
        gaps: list[Damage] = []
        touching: list[Damage] = []
        noted: set[tuple[Damage, bytes]] = set()
        digest = ""
        for entry in entries:
            record = entry.links.get("chains", {}).get(timeline)
            if record is None:
                continue
            chain = Chain(**record)
            point, component = _point_of(entry, timeline)
            if chain.sequence == entry.number:
                self._report.objects += 1
                try:
                    segment = self._segment(timeline, chain, digest)
                except (DamageError, StoreError) as error:
                    gaps.append(self._report.add(timelines.name_of(chain.segment), error.cause))
                else:
                    if segment:
                        self._update(current, segment)
                pairs = {(damage, path) for path, damages in current.items() for damage in damages}
                for damage, path in sorted(pairs - noted, key=lambda pair: pair[1]):
                    damage.files.append((component, path))
                noted |= pairs
                touching = [*gaps, *{damage: None for damage, _ in pairs}]
                digest = chain.digest
            if point:
                for damage in touching:
                    if point not in damage.points:
                        damage.points.append(point)

    def _segment(self, timeline: str, chain: Chain, digest: str) -> Segment | None:
        """The segment, None when it cannot be opened for want of a passphrase."""
        what = timelines.name_of(chain.segment)
        data = self._store.read(what)
        if digest_of(data) != chain.segment:
            raise DamageError("its SHA-256 is not its name")
        if not self._report.unlocked:
            SealedObject(timelines.MAGIC, data, what)
            return None
        return self._histories.opened(timeline, chain, digest, data)

    def _update(self, current: dict[bytes, list[Damage]], segment: Segment) -> None:
        broken = self._broken_rows(segment)
        if current:
            for path in segment.tombstones.tolist():
                current.pop(path, None)
            for path in segment.puts.path.tolist():
                current.pop(path, None)
        for row, damages in broken.items():
            current[segment.puts.path[row]] = damages

    def _broken_rows(self, segment: Segment) -> dict[int, list[Damage]]:
        content = segment.puts.content
        ids = content.blob[: content.offsets[-1]]
        chunks = np.flatnonzero(self._good.find(ids) < 0)
        rows = np.searchsorted(content.offsets // CHUNK_ID_BYTES, chunks, side="right") - 1
        broken: dict[int, list[Damage]] = {}
        for row, chunk in zip(rows.tolist(), ids.reshape(-1, CHUNK_ID_BYTES)[chunks], strict=True):
            damage = self._lost.get(chunk.tobytes()) or self._unindexed(chunk.tobytes())
            if damage and damage not in broken.setdefault(row, []):
                broken[row].append(damage)
        return {row: damages for row, damages in broken.items() if damages}

    def _unindexed(self, chunk: bytes) -> Damage | None:
        """A chunk in no good pack and not lost with one: whole in a damaged pack, or never indexed."""
        if self._named.find(np.frombuffer(chunk, np.uint8))[0] >= 0:
            return None
        damage = self._report.add("index/", f"no index segment names chunk {chunk.hex()}")
        self._lost[chunk] = damage
        return damage


def _point_of(entry: LogEntry, timeline: str) -> tuple[str, str]:
    """The point that an entry is, and which of its components the timeline is; ("", "") when it is none."""
    point: Any = entry.body.get("point")
    if not isinstance(point, dict):
        return "", ""
    for name, part in point.get("components", {}).items():
        if part.get("timeline") == timeline:
            return str(point.get("id")), str(name)
    return "", ""
