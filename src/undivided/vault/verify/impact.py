"""Impact: from lost chunks to rows of timelines, and from there to points and paths.

A timeline is followed step by step. `current` holds the paths whose latest version is not whole; each point
that sees the timeline as of a step has lost the paths that are current then. A lost timeline segment affects
every point after it: which files it held is unknown.

Only damaged parts become Python objects; everything else stays in columns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from ...host.parallel import THREADS, in_order
from ...model.columns import Array
from ...model.entries import CHUNK_ID_BYTES
from ...model.errors import DamageError
from ..crypto.aead import damaged
from ..crypto.envelope import Envelope, digest_of
from ..format import timeline_segment as timelines
from ..format.log_entry import name_of
from ..format.timeline_segment import TimelineSegment, chained_digest
from ..index.index import ChunkIndex
from ..read.histories import ContentKeys
from ..stores.base import MissingError, Store, StoreError, requests
from .log_scan import History, LogScan, PointMark, ScanStep
from .missing_chunks import MissingChunks
from .report import Damage, Report


class Impact:
    """Adds points and files to a report's damages. index: with damaged packs as the last choice. whole:
    damages by the number of a pack of which nothing can be read; lost: chunks of other packs."""

    def __init__(
        self,
        store: Store,
        contents: ContentKeys,
        report: Report,
        index: ChunkIndex,
        whole: dict[int, Damage],
        lost: MissingChunks,
    ) -> None:
        self._store, self._contents, self._report, self._index = store, contents, report, index
        self._whole, self._lost = whole, lost
        self._suspect = np.zeros(len(index.packs), np.bool_)
        self._suspect[list(whole)] = True

    def run(self, scan: LogScan) -> None:
        for timeline, history in sorted(scan.histories.items()):
            if history.marks:
                self._follow(timeline, history)

    def _follow(self, timeline: str, history: History) -> None:
        state = _State(history.marks, self._lost_entry)
        before = ScanStep(0, "", "", 0)
        for step, found in zip(history.steps, self._read(history.steps), strict=True):
            state.charge(before=step.number)
            follows = step.previous == before.number
            if not follows:
                state.miss(step.previous)
            self._report.objects += 1
            try:
                segment = self._segment(timeline, step, before if follows else None, found)
            except (DamageError, StoreError) as error:
                state.gaps[self._report.add(timelines.name_of(step.segment), error.cause)] = None
                if timeline not in self._report.timelines:
                    self._report.timelines.append(timeline)
            else:
                if segment:
                    state.update(segment, self._broken_rows(segment))
            state.last, before = step.number, step
        state.charge()

    def _read(self, steps: list[ScanStep]) -> Iterator[bytes | StoreError]:
        """The segments' bytes, read ahead; an error in place of a missing one."""

        def read(step: ScanStep) -> bytes | StoreError:
            what = timelines.name_of(step.segment)
            try:
                return self._store.read(what)
            except MissingError:
                return StoreError("it is missing", doing=f"read {what}")
            except StoreError as error:
                return error

        return in_order(read, steps, threads=max(THREADS, requests(self._store)))

    def _lost_entry(self, number: int) -> Damage:
        return self._report.add(name_of(number), "it is missing")

    def _segment(
        self, timeline: str, step: ScanStep, before: ScanStep | None, found: bytes | StoreError
    ) -> TimelineSegment | None:
        """The segment; None without a passphrase. before: the step that it continues, if that is known."""
        if isinstance(found, StoreError):
            raise found
        what = timelines.name_of(step.segment)
        if digest_of(found) != step.segment:
            raise damaged(what, "its SHA-256 is not its name")
        if not self._report.unlocked:
            Envelope(timelines.MAGIC, found, what)
            return None
        segment, block = self._contents.timeline(found, timeline, what)
        chains = before and not step.compacted and bool(before.digest) == bool(before.number)
        if before and chains and chained_digest(timeline, before.digest, block) != step.digest:
            raise damaged(what, "it does not continue its timeline")
        return segment

    def _broken_rows(self, segment: TimelineSegment) -> dict[int, list[Damage]]:
        """Row → its damages, for the rows that lost content."""
        content = segment.puts.content
        ids = content.blob[: content.offsets[-1]].reshape(-1, CHUNK_ID_BYTES)
        rows = self._index.find(ids)
        suspect = rows < 0
        known = np.flatnonzero(~suspect)
        if len(known) and (self._whole or len(self._lost)):
            packs = self._index.pack_of(self._index.frame[rows[known]])
            suspect[known] = self._suspect[packs] | self._lost.have(ids[known])
        chunks = np.flatnonzero(suspect)
        owners = np.searchsorted(content.offsets // CHUNK_ID_BYTES, chunks, side="right") - 1
        broken: dict[int, list[Damage]] = {}
        for owner, row, chunk in zip(owners.tolist(), rows[chunks].tolist(), ids[chunks], strict=True):
            damage = self._damage(row, chunk)
            if damage not in broken.setdefault(owner, []):
                broken[owner].append(damage)
        return broken

    def _damage(self, row: int, chunk: Array) -> Damage:
        """Why a chunk is lost: its pack, a part of that pack, or an index that no longer names it."""
        if row >= 0:
            number = int(self._index.pack_of(np.array([self._index.frame[row]]))[0])
            if number in self._whole:
                return self._whole[number]
        return self._lost.of(chunk) or self._unindexed(chunk)

    def _unindexed(self, chunk: Array) -> Damage:
        damage = self._report.add("index/", f"no index segment names chunk {chunk.tobytes().hex()}")
        self._lost.add(damage, chunk)
        return damage


class _State:
    """One timeline on its way: the paths that are lost as of now, and the points that are still to be
    charged."""

    def __init__(self, marks: list[PointMark], lost_entry: Callable[[int], Damage]) -> None:
        self._lost_entry = lost_entry
        self._marks = iter(sorted(marks))
        self._next = next(self._marks, None)
        self._current: dict[bytes, list[Damage]] = {}
        self._noted: set[tuple[Damage, str, bytes]] = set()
        self.gaps: dict[Damage, None] = {}
        self.last = 0

    def miss(self, number: int) -> None:
        """The step of entry `number` is unknown."""
        self.gaps[self._lost_entry(number)] = None

    def update(self, segment: TimelineSegment, broken: dict[int, list[Damage]]) -> None:
        if self._current:
            for path in itertools.chain(segment.tombstones.tolist(), segment.puts.path.tolist()):
                self._current.pop(path, None)
        for row, damages in broken.items():
            self._current[segment.puts.path[row]] = damages

    def charge(self, before: int | None = None) -> None:
        """Charges the damage to the points that see the timeline as it is now: those before entry
        `before`."""
        touching: dict[Damage, None] | None = None
        while self._next and (before is None or self._next.sequence < before):
            mark, self._next = self._next, next(self._marks, None)
            if mark.sequence != self.last:
                self.miss(mark.sequence)
                self.last, touching = mark.sequence, None
            if touching is None:
                touching = self._touching(mark.component)
            for damage in touching:
                if mark.point not in damage.points:
                    damage.points.append(mark.point)

    def _touching(self, component: str) -> dict[Damage, None]:
        pairs = [(d, component, path) for path, damages in self._current.items() for d in damages]
        for damage, _, path in sorted((p for p in pairs if p not in self._noted), key=lambda p: p[2]):
            damage.files.append((component, path))
        self._noted.update(pairs)
        return dict.fromkeys([*self.gaps, *(damage for damage, _, _ in pairs)])
