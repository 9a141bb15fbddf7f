"""Verification: is what the log commits to there, and is it what was stored? In three depths.

    structure   the chain of the log, every index and timeline segment, every pack present with its size,
                every chunk that a timeline names indexed; and all of the packs that were found damaged before
    data        every stored byte: each pack's SHA-256, its footer, each frame opened, each chunk's id
    points      whole points decoded as a recovery would (restore_test.py)

Reading stops when time is up and goes on where it ended (scrub.py). What is damaged is named down to what it
means (impact.py). Names are content: without the passphrase the report says which objects, and that it could
not look further. Memory is columns: what the index takes, and Python objects only for what is damaged.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ...host.parallel import THREADS
from ...model.columns import Array
from ...model.errors import DamageError, UsageError
from ..crypto.keys import WriterKeys
from ..format import index_segment as indexes
from ..format import pack as packs
from ..index.damage_marks import broken_timelines
from ..index.index import ChunkIndex
from ..index.load import IndexLinks, index_links, read_index_segment
from ..index.pack_list import among, ids_in, needed_packs, numbers_of, pack_names, stored_sizes
from ..log import key_check
from ..log.log import Log
from ..read.histories import ContentKeys, Unlock
from ..read.reader import Reader
from ..stores.base import Store, StoreError, parallel
from .impact import Impact
from .log_scan import LogScan, scan_log
from .missing_chunks import MissingChunks
from .pack_check import PackCheck, PackChecker
from .report import Damage, Report, Scope
from .restore_test import RestoreTest
from .scrub import Scrub

Progress = Callable[[int, int], None]


class Verification:
    """One run over a vault. store: as it is; log: as far as it can be opened."""

    def __init__(
        self, store: Store, keys: WriterKeys, log: Log, unlock: Unlock, now: Callable[[], int] = time.time_ns
    ) -> None:
        self._store, self._keys, self._log = store, keys, log
        self._contents = ContentKeys(keys, unlock)
        self._unlock, self._now = unlock, now
        self._report = Report()
        self._whole: dict[int, Damage] = {}
        self._lost = MissingChunks()
        self._stop_at: float | None = None
        self._done = self._total = 0
        self._progress: Progress | None = None

    def run(self, scope: Scope, progress: Progress | None = None) -> Report:
        """progress: (done, total) in stored bytes that are to be read. Raises WrongKeyError, StoreError."""
        report, self._progress = self._report, progress
        if scope.seconds is not None:
            self._stop_at = time.monotonic() + scope.seconds
        self._recipients()
        self._open()
        read = scan_log(self._store, self._keys)
        report.objects += read.objects
        for name, cause in (*read.unreadable, *read.junk):
            report.add(name, cause)
        self._log.refresh()
        linked = self._links(read)
        segments = list(self._segments(linked.segments))
        self._index = ChunkIndex(segments, unusable=linked.pending_deletion, damaged=linked.damaged)
        reader = Reader(self._store, self._keys, self._log, self._unlock)
        self._sampling = RestoreTest(reader, self._index, report)
        if scope.read_data:
            self._superseded(read, linked)
        self._packs(scope, read, linked)
        if report.packs:
            damaged = linked.damaged | frozenset(report.packs)
            self._index = ChunkIndex(segments, unusable=linked.pending_deletion, damaged=damaged)
        Impact(self._store, self._contents, report, self._index, self._whole, self._lost).run(read)
        self._drop_resolved(linked)
        report.whole_timelines = sorted(self._torn() - set(report.timelines))
        for point in self._sampling.failed.keys() - set(report.points_affected):
            report.add(f"point {point}", self._sampling.failed[point]).points.append(point)
        return report

    # ── the structure ───────────────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        try:
            self._unlock()
        except UsageError:
            self._report.unlocked = False
            note = "Without the passphrase, names and data were not opened: only their hashes."
            self._report.notes.append(note)
        except DamageError as error:
            self._report.unlocked = False
            if not self._report.damaged:
                self._report.add("keys/", error.cause)

    def _recipients(self) -> None:
        for name, cause in key_check.look(self._store, self._keys, self._log):
            self._report.objects += 1
            if cause:
                self._report.add(name, cause)

    def _links(self, read: LogScan) -> IndexLinks:
        """What the index is made of; all that can be read where links are broken."""
        try:
            return index_links(self._log)
        except (DamageError, StoreError):
            everything = [name for number in sorted(read.indexed)[::-1] for name in read.indexed[number]]
            return IndexLinks(everything, frozenset(), frozenset())

    def _segments(self, names: Sequence[str]) -> Iterator[indexes.IndexSegment]:
        for name in names:
            self._report.objects += 1
            try:
                yield read_index_segment(self._store, self._keys, name)
            except (DamageError, StoreError) as error:
                self._report.add(indexes.name_of(name), error.cause)

    def _superseded(self, read: LogScan, linked: IndexLinks) -> None:
        """Segments that later ones took in: nobody reads them, so what is wrong with them is worth a note."""
        needed = set(linked.segments)
        for name in (name for names in read.indexed.values() for name in names):
            if name in needed or indexes.name_of(name) in read.pending_deletion:
                continue
            self._report.objects += 1
            try:
                read_index_segment(self._store, self._keys, name)
            except (DamageError, StoreError) as error:
                self._report.notes.append(f"{error.cause}; later segments hold what it held.")

    def _torn(self) -> frozenset[str]:
        """The timelines that are said to have lost something; none where the log does not say."""
        try:
            return broken_timelines(self._log)
        except (DamageError, StoreError):
            return frozenset()

    # ── packs ───────────────────────────────────────────────────────────────────────────────────────────────

    def _packs(self, scope: Scope, read: LogScan, linked: IndexLinks) -> None:
        """Every pack there must be, with its size; those to be read, read; points decoded."""
        names, sizes = needed_packs(self._index, linked.pending_deletion)
        self._report.objects += len(names)
        found = stored_sizes(self._store, names)
        for number in np.flatnonzero(found < 0).tolist():
            self._lose(PackCheck(names[number].tobytes().hex(), "it is missing"))
        there = found >= 0
        deep = scope.read_data or bool(scope.points or scope.sample)
        recorded = scope.recorded and deep and not read.junk
        at_once = max(THREADS, parallel(self._store))
        scrub = Scrub(self._log, names, self._report, at_once=at_once, recorded=recorded, now=self._now)
        contents = self._contents if self._report.unlocked else None
        inspect = PackChecker(self._store, self._keys, contents, self._index).inspect
        suspect = among(names, linked.damaged) | (found != sizes)
        try:
            if contents:
                self._sampling.run(scope, read, scrub, self._up)
                suspect |= among(names, self._sampling.suspects)
            chosen = np.flatnonzero(suspect & there)
            self._total = int(sizes[there].sum()) if scope.read_data else int(sizes[chosen].sum())
            self._read(scrub.run(chosen, inspect, lambda: False))
            self._report.whole = sorted(linked.damaged & _digests(names[chosen]) - set(self._report.packs))
            if scope.read_data:
                self._read(scrub.run(scrub.due(scope.within, there & ~suspect), inspect, self._up))
        finally:
            scrub.tell()
        self._report.proven = scrub.proven()

    def _read(self, inspected: Iterator[PackCheck]) -> None:
        for found in inspected:
            if found.cause:
                self._lose(found)
            self._done += found.bytes
            if self._progress:
                self._progress(self._done, self._total)

    def _lose(self, found: PackCheck) -> None:
        self._report.packs.append(found.name)
        damage = self._report.add(packs.name_of(found.name), found.cause)
        if found.lost is None:
            self._whole.update((number, damage) for number in numbers_of(self._index, found.name).tolist())
        else:
            self._lost.add(damage, found.lost)

    def _up(self) -> bool:
        """Whether time is up."""
        return self._stop_at is not None and time.monotonic() > self._stop_at

    # ── what has healed ─────────────────────────────────────────────────────────────────────────────────────

    def _drop_resolved(self, linked: IndexLinks) -> None:
        """A condemned pack whose loss is nobody's loss any more is a note."""
        bad = {packs.name_of(name) for name in linked.damaged}
        for damage in [d for d in self._report.damaged if d.object in bad]:
            lost = [self._lost.taken_by(damage)]
            for number in (number for number, own in self._whole.items() if own is damage):
                lost.append(ids_in(self._index, number))
            rows = self._index.find(np.concatenate(lost))
            owners = self._index.pack_of(self._index.frame[rows[rows >= 0]])
            if (rows >= 0).all() and not among(pack_names(self._index)[owners], self._report.packs).any():
                says = "all of it was stored anew since"
            elif self._report.unlocked and not damage.points:
                says = "no point needs what is lost"
            else:
                continue
            self._report.damaged.remove(damage)
            self._report.spent.append(damage.object)
            self._report.notes.append(f"{damage.object} is damaged, but {says}.")


def _digests(names: Array) -> frozenset[str]:
    return frozenset(name.tobytes().hex() for name in names)
