"""A writer: one session that adds chunks and commits what they mean.

    store … store   chunks to packs, as soon as a pack is full             (pipeline.py)
    commit          remaining packs ▸ timeline segments and index, side by side ▸ one log entry

Only the last step makes anything exist. A commit with nothing new writes one log entry.

What a writer found stored already may be pruned while it works. It takes no lock against that: a commit that
finds a prune among the entries it had not seen looks every chunk up again that it refers to, and if one is
gone it raises ConflictError, and nothing was committed (docs/decisions/commit-protocol.md).

What is known already is not stored again, if its pack is there: packs that are missing, have another size or
were found damaged do not count, so the next protection puts their chunks anew.
"""

from __future__ import annotations

import hashlib
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
from ..format import pack as packs
from ..format.index_segment import StoredPack
from ..format.log_entry import LogEntry
from ..format.pack import OpenPack, seal_footer
from ..format.timeline_segment import TimelineSegment
from ..index.index import ChunkIndex
from ..index.load import load_index
from ..index.merge import Merged, merged
from ..log.errors import ConflictError
from ..log.heads import TimelineHead, latest_head, prune_entries
from ..log.log import Log
from ..log.session import WriteSession
from ..log.slot import Slot
from ..stores.base import Store, parallel
from .chunker import Chunker
from .in_flight import InFlightChunks
from .pipeline import Pipeline

_StoredIndex = tuple[list[str], Merged]


@dataclass(frozen=True)
class CommitPlace:
    """Where a commit is about to be written. number: of its log entry; digests: timeline → its digest after
    this commit."""

    number: int
    digests: Mapping[str, str]


Body = Mapping[str, Any] | Callable[[CommitPlace], Mapping[str, Any]]


class Writer:
    """Thread-safe: several components store side by side. A context manager; leaving it without a commit
    abandons what was stored. bytes_read: from the pieces; bytes_stored: all bytes sent to the store."""

    def __init__(self, store: Store, keys: WriterKeys, log: Log) -> None:
        self._store, self._keys, self._log = store, keys, log
        self._session = WriteSession(store, keys, log)
        self.session = self._session.name
        self.bytes_read = 0
        self._lock = threading.RLock()
        self._pipeline: Pipeline | None = None
        self._known: ChunkIndex | None = None
        self._claims = InFlightChunks()
        self._uploaded: list[StoredPack] = []

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

        A piece's buffer may be used again once the next piece is asked for. Returns as soon as every id is
        known; `commit` waits for the rest. Raises what a batch failed with.
        """
        column, read = Chunker(self._started(), layout).run(pieces, rows)
        with self._lock:
            self.bytes_read += read
        return column

    def missing(self, content: Ragged) -> Array:
        """bool per row: whether some chunk of it is not in a usable pack, so that it must be read again."""
        lost = self._index().find(content.blob[: content.offsets[-1]]) < 0
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
        than `continues` says; FencedError when a prune took this session for dead. Then nothing was committed.
        """
        if self._pipeline:
            self._pipeline.drain()
        crashpoint("vault.packs-stored")
        blocks = {t: s.encode(t) for t, s in segments.items() if not s.empty}
        with self._lock:
            uploaded = list(self._uploaded)
        names, index = self._store_segments(blocks, uploaded)
        crashpoint("vault.segments-stored")
        turns = self._log.turns(self._session.entries)
        while True:
            with next(turns) as slot:
                pruned = slot.newest("pruned") > self._session.seen
                entry = None
                if not pruned:
                    before = {t: latest_head(self._log, t) or TimelineHead() for t in segments}
                    _refuse_moved(before, continues or {})
                    heads = _heads_after(before, slot.number, names, blocks)
                    place = CommitPlace(slot.number, {t: head.digest for t, head in heads.items()})
                    made = body(place) if callable(body) else body
                    links = _links(slot, heads, index)
                    entry = self._log.try_append(slot.seal(kind, {**made, "timelines": names}, links))
            if entry:
                break
            if pruned:
                self._catch_up(segments.values(), names.values(), uploaded)
                index = self._store_index(uploaded)
                crashpoint("vault.segments-stored")
        with self._lock:
            stored = {pack.name for pack in uploaded}
            self._uploaded = [pack for pack in self._uploaded if pack.name not in stored]
            self._session.committed()
        crashpoint("vault.committed")
        return entry

    # ── what the pipeline asks ──────────────────────────────────────────────────────────────────────────────

    def _claim(self, ids: bytes) -> list[int]:
        """Positions of the ids that nobody has stored; from now on this session has."""
        unknown = np.flatnonzero(self._index().find(np.frombuffer(ids, np.uint8)) < 0).tolist()
        with self._lock:
            return self._claims.take(ids, unknown)

    def _upload(self, pack: OpenPack) -> None:
        own = self._session.content
        header = pack.header()
        sessions = [(self._session.id, own.sealed)]
        footer = seal_footer(own.footers, self._session.id, header, sessions)
        frames = memoryview(pack.buffer)[: pack.used]
        digest = hashlib.sha256(frames)
        digest.update(footer)
        name = digest.hexdigest()
        self._session.create(packs.name_of(name), frames, footer)
        with self._lock:
            self._uploaded.append(StoredPack(name, len(frames) + len(footer), header, sessions))
        crashpoint("vault.pack-stored")

    # ── pieces of a commit ──────────────────────────────────────────────────────────────────────────────────

    def _store_segments(
        self, blocks: Mapping[str, bytes], uploaded: Sequence[StoredPack]
    ) -> tuple[dict[str, str], _StoredIndex | None]:
        """The names of the timelines' segments, and the index: side by side, for none needs another and each
        costs a distant store's delay. All are there on return."""
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
        """A prune came since the index was read: is everything that is about to be committed still there?
        stored: names of the timeline segments."""
        news = list(prune_entries(self._log, self._session.seen))
        self._refuse_pending_deletion(news, stored, uploaded)
        with self._lock:
            self._session.seen = max(entry.number for entry in news)
            self._known = None
            self._claims = InFlightChunks()
            for pack in uploaded:
                self._claims.take(pack.header.id.tobytes(), range(len(pack.header.length)))
        self._refuse_gone(segments)

    def _refuse_pending_deletion(
        self, news: Iterable[LogEntry], stored: Collection[str], uploaded: Sequence[StoredPack]
    ) -> None:
        """What this session uploaded must not have been taken for orphans."""
        self._session.refuse_fenced()
        own = {pack.name for pack in uploaded}
        for entry in news:
            pending_deletion = entry.body["pending_deletion"]
            if not own.isdisjoint(pending_deletion["packs"]) or not set(stored).isdisjoint(
                pending_deletion["timeline"]
            ):
                raise ConflictError("a prune took what this session stored for orphans")

    def _refuse_gone(self, segments: Iterable[TimelineSegment]) -> None:
        """What it refers to must be in the index as it is now, or among what it uploaded."""
        for segment in segments:
            content = segment.puts.content
            ids = content.blob[: content.offsets[-1]]
            gone = np.flatnonzero(self._index().find(ids) < 0)
            if not self._claims.has(ids.reshape(-1, CHUNK_ID_BYTES)[gone]).all():
                raise ConflictError("a prune removed content that this point was about to refer to")

    def _started(self) -> Pipeline:
        with self._lock:
            if self._pipeline is None:
                frames = self._session.content.frames
                uploads = parallel(self._store)
                self._pipeline = Pipeline(
                    self._keys.id, self._session.id, frames, self._claim, self._upload, uploads
                )
            return self._pipeline

    def _index(self) -> ChunkIndex:
        with self._lock:
            if self._known is None:
                present = dict(self._store.list("packs/"))
                self._known = load_index(self._store, self._keys, self._log, present)
            return self._known


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
