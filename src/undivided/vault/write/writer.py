"""A writer: one session that stores chunks, and commits what they mean.

    store … store   chunks go into packs, and each full pack to the store          (pipeline.py)
    commit          remaining packs ▸ timeline segments and index, in parallel ▸ one log entry

Only the last step makes anything exist. A commit that changes nothing writes one log entry.

Chunks that a writer found stored already may be pruned while it works. It takes no lock against that: a
commit that meets an unseen prune looks up every chunk again that it refers to. If one is gone, the commit
raises ConflictError, and nothing was committed (docs/decisions/commit-protocol.md).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np

from ...host.crashpoints import crashpoint
from ...model.columns import Array, Ragged
from ...model.entries import CHUNK_ID_BYTES, Layout
from ...model.streams import Piece
from ..crypto.keys import WriterKeys
from ..format.index_segment import StoredPack
from ..format.log_entry import LogEntry
from ..format.timeline_segment import TimelineSegment
from ..index.merge import Merged, merged
from ..log.errors import ConflictError
from ..log.heads import TimelineHead, latest_head, prune_entries
from ..log.log import Log
from ..log.session import WriteSession
from ..log.slot import CatchUp, SealedEntry, Slot
from ..stores.base import Store, parallel
from .chunker import Chunker
from .dedup import KnownChunks
from .pipeline import Pipeline
from .uploads import PackUploads

_log = logging.getLogger(__name__)
_StoredIndex = tuple[list[str], Merged]


@dataclass(frozen=True)
class CommitPlace:
    """Where a commit is about to be written. number: of its log entry; digests: timeline → its digest after
    this commit."""

    number: int
    digests: Mapping[str, str]


Body = Mapping[str, Any] | Callable[[CommitPlace], Mapping[str, Any]]


class Writer:
    """Thread-safe: several components store in parallel. A context manager; leaving it without a commit
    abandons its uploads. bytes_read: from the pieces; bytes_stored: all bytes sent to the store."""

    def __init__(self, store: Store, keys: WriterKeys, log: Log) -> None:
        self._store, self._keys, self._log = store, keys, log
        self._session = WriteSession(store, keys, log)
        self.session = self._session.name
        self.bytes_read = 0
        self._lock = threading.RLock()
        self._pipeline: Pipeline | None = None
        self._chunks = KnownChunks(store, keys, log)
        self._packs = PackUploads(self._session)

    @property
    def bytes_stored(self) -> int:
        return self._session.bytes_stored

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session. Idempotent."""
        if self._pipeline:
            self._pipeline.close()
            self._pipeline = None

    def store(self, pieces: Iterable[Piece], rows: int, layout: Layout) -> Ragged:
        """The content column of `rows` rows: 32-byte chunk ids, joined per row.

        A piece's buffer may be reused once the next piece is requested. Returns as soon as every id is known;
        `commit` waits for the uploads. Raises the error of a batch that failed.
        """
        column, read = Chunker(self._started(), layout).run(pieces, rows)
        with self._lock:
            self.bytes_read += read
        return column

    def missing(self, content: Ragged) -> Array:
        """bool per row: whether any of its chunks is in no usable pack, so that the row must be read
        again."""
        lost = ~self._chunks.stored(content.blob[: content.offsets[-1]])
        counts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lost)])[content.offsets // CHUNK_ID_BYTES]
        lost_rows: Array = np.diff(counts) > 0
        return lost_rows

    def digest(self, timeline: str) -> str:
        """The digest of a timeline as of now; "" when it is new."""
        self._log.refresh()
        head = latest_head(self._log, timeline)
        return head.digest if head else ""

    def commit(
        self,
        kind: str,
        segments: Mapping[str, TimelineSegment],
        body: Body,
        continues: Mapping[str, str] | None = None,
    ) -> LogEntry:
        """Commits everything stored so far, and a segment for each timeline, as one log entry.

        body: the entry's body, or a function that makes it from the place where the entry is about to be
        written. It is called again after each conflict, because that changes the place. Empty segments add
        nothing. continues: the digest of each timeline for which its segment was made, "" for a new timeline.

        Raises ConflictError when a chunk that the segments refer to is gone, or a timeline has another digest
        than in `continues`; FencedError when a prune took this session for dead. Then nothing was
        committed.
        """
        if self._pipeline:
            self._pipeline.drain()
        crashpoint("vault.packs-stored")
        blocks = {t: s.encode(t) for t, s in segments.items() if not s.empty}
        uploaded = self._packs.uncommitted()
        names, index = self._store_segments(blocks, uploaded)
        crashpoint("vault.segments-stored")

        def seal(slot: Slot) -> SealedEntry | CatchUp:
            if slot.newest("pruned") > self._session.seen:
                return CatchUp(check_again)
            before = {t: latest_head(self._log, t) or TimelineHead() for t in segments}
            _refuse_moved(before, continues or {})
            heads = _heads_after(before, slot.number, names, blocks)
            place = CommitPlace(slot.number, {t: head.digest for t, head in heads.items()})
            made = body(place) if callable(body) else body
            return slot.seal(kind, {**made, "timelines": names}, _links(slot, heads, index))

        def check_again() -> None:
            nonlocal index
            _log.info("commit of a %s: a prune was committed in between; checking every chunk again", kind)
            self._catch_up(segments.values(), names.values(), uploaded)
            index = self._store_index(uploaded)
            crashpoint("vault.segments-stored")

        entry = self._log.commit(seal, self._session.entries)
        self._packs.committed(uploaded)
        self._session.committed()
        crashpoint("vault.committed")
        return entry

    # ── pieces of a commit ──────────────────────────────────────────────────────────────────────────────────

    def _store_segments(
        self, blocks: Mapping[str, bytes], uploaded: Sequence[StoredPack]
    ) -> tuple[dict[str, str], _StoredIndex | None]:
        """Stores the timelines' segments and the index, in parallel: none needs another, and each costs the
        delay of a distant store. Returns the segments' names and the index once all are stored."""
        at_once = parallel(self._store)
        if not blocks or len(blocks) + bool(uploaded) < 2 or at_once < 2:
            names = {t: self._session.store_timeline(block) for t, block in blocks.items()}
            return names, self._store_index(uploaded)
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(len(blocks), at_once), thread_name_prefix="undivided-commit") as pool:
            begun = {t: pool.submit(self._session.store_timeline, block) for t, block in blocks.items()}
            index = self._store_index(uploaded)
            return {t: future.result() for t, future in begun.items()}, index

    def _store_index(self, uploaded: Sequence[StoredPack]) -> _StoredIndex | None:
        if not uploaded:
            return None
        whole = merged(self._store, self._keys, self._log, uploaded)
        return [self._session.store_index(segment) for segment in whole.segments], whole

    def _catch_up(
        self, segments: Iterable[TimelineSegment], stored: Collection[str], uploaded: Sequence[StoredPack]
    ) -> None:
        """After a prune: everything that is about to be committed must still exist. stored: names of the
        timeline segments."""
        prunes = list(prune_entries(self._log, self._session.seen))
        self._refuse_pending_deletion(prunes, stored, uploaded)
        self._session.seen = max(entry.number for entry in prunes)
        self._chunks.reload(uploaded)
        self._refuse_gone(segments)

    def _refuse_pending_deletion(
        self, prunes: Iterable[LogEntry], stored: Collection[str], uploaded: Sequence[StoredPack]
    ) -> None:
        """Raises FencedError or ConflictError when a prune took this session's uploads for orphans."""
        self._session.refuse_fenced()
        own = {pack.name for pack in uploaded}
        for entry in prunes:
            marked = entry.body["pending_deletion"]
            if not own.isdisjoint(marked["packs"]) or not set(stored).isdisjoint(marked["timeline"]):
                raise ConflictError("a prune took objects of this session for orphans")

    def _refuse_gone(self, segments: Iterable[TimelineSegment]) -> None:
        """Raises ConflictError unless every chunk is in the index as it is now, or in this session's
        packs."""
        for segment in segments:
            content = segment.puts.content
            if not self._chunks.have(content.blob[: content.offsets[-1]]):
                raise ConflictError("a prune removed content to which this point refers")

    def _started(self) -> Pipeline:
        with self._lock:
            if self._pipeline is None:
                frames = self._session.content.frames
                self._pipeline = Pipeline(
                    self._keys.id, self._session.id, frames, self._chunks, self._packs, parallel(self._store)
                )
            return self._pipeline


def _heads_after(
    before: Mapping[str, TimelineHead], number: int, names: Mapping[str, str], blocks: Mapping[str, bytes]
) -> dict[str, TimelineHead]:
    """Each timeline as it will be after entry `number`. names, blocks: of the segments that it adds."""
    added = {t: before[t].next(t, number, name, blocks[t]) for t, name in names.items()}
    return {**before, **added}


def _links(slot: Slot, heads: Mapping[str, TimelineHead], index: _StoredIndex | None) -> dict[str, Any]:
    links: dict[str, Any] = {"heads": {timeline: head.record() for timeline, head in heads.items()}}
    if index:
        stored, whole = index
        links["index"] = stored
        links["previous_data"] = whole.link(slot.newest("data"))
    return links


def _refuse_moved(heads: Mapping[str, TimelineHead], continues: Mapping[str, str]) -> None:
    moved = [timeline for timeline, digest in continues.items() if heads[timeline].digest != digest]
    if moved:
        raise ConflictError("another writer continued the same timeline, or the timeline was expired", moved)
