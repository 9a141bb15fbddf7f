"""A writer: one session that adds chunks and commits what they mean.

    store … store   chunks to packs, as soon as a pack is full             (pipeline.py)
    commit          remaining packs ▸ index segment ▸ timeline segments ▸ one log entry

Only the last step makes anything exist. Before the first pack goes out, an entry "session" says who is about
to, so that whoever cleans up later knows whose leavings they are. A commit with nothing new writes one log
entry.

What is known already is not stored again, if its pack is there: packs that are missing, have another size or
were found damaged do not count, so the next protection puts their chunks anew.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from ..model.columns import Array, Ragged
from ..model.crashpoints import crashpoint
from ..model.entries import CHUNK_ID_BYTES, Layout
from . import index as indexes
from . import pack as packs
from . import timeline as timelines
from .divide import Divider
from .entry import PURPOSE as LOG
from .entry import LogEntry
from .frames import PURPOSE as FRAME
from .index import Index
from .keys import CONTENT_KEY, KEY_BYTES, WriterKeys, seal_to
from .known import known_index
from .links import Chain, latest_chain
from .log import Log
from .merging import Merged, merged
from .pack import OpenPack, seal_footer
from .pipeline import Pipeline
from .seal import Buffer, Sealer
from .sealed import digest_of, seal_object
from .segment import StoredPack, segments_of
from .stores.base import ExistsError, Store, StoreError
from .timeline import Segment

Body = Mapping[str, Any] | Callable[[Mapping[str, str]], Mapping[str, Any]]


class Writer:
    """Thread-safe: several components store side by side. A context manager; leaving it without a commit
    abandons what was stored. bytes_read: from the pieces; bytes_stored: all bytes sent to the store."""

    def __init__(self, store: Store, keys: WriterKeys, log: Log) -> None:
        self._store, self._keys, self._log = store, keys, log
        session = keys.new_session()
        self.session = session.hex()
        self.bytes_read = 0
        self.bytes_stored = 0
        self._session = session
        self._log_sealer = Sealer(keys.structure, keys.vault_bytes, session, LOG)
        self._lock = threading.RLock()
        self._content: _Content | None = None
        self._pipeline: Pipeline | None = None
        self._known: Index | None = None
        self._claimed: set[bytes] = set()
        self._announced = False
        self._uploaded: list[StoredPack] = []

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

    def store(self, pieces: Iterable[tuple[int, Buffer, bool]], rows: int, layout: Layout) -> Ragged:
        """The content column of `rows` rows: 32-byte chunk ids, joined per row.

        pieces: (row, bytes, whether they end the row's data), rows in any order but each row's pieces
        together and in order. A buffer may be used again once the next piece is asked for. Returns as soon as
        every id is known; `commit` waits for the rest.
        """
        column, read = Divider(self._started(), layout).run(pieces, rows)
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
        """The chain digest of a timeline as of now; "" when it is new."""
        self._log.refresh()
        chain = latest_chain(self._log, timeline)
        return chain.digest if chain else ""

    def commit(self, kind: str, segments: Mapping[str, Segment], body: Body) -> LogEntry:
        """Makes it exist: everything stored so far, and a segment for each timeline.

        body may be a function of {timeline: chain digest after this commit}. It is asked again when another
        writer was quicker; the entry being made is then always the log's head + 1. Empty segments add
        nothing.
        """
        if self._pipeline:
            self._pipeline.drain()
        crashpoint("vault.packs-stored")
        index = self._store_index()
        blocks = {t: s.encode(t) for t, s in segments.items() if not s.empty}
        names = {t: self._store_timeline(block) for t, block in blocks.items()}
        crashpoint("vault.segments-stored")

        def make(last: LogEntry | None) -> tuple[Any, Mapping[str, Any]]:
            number = last.number + 1 if last else 1
            chains: dict[str, Chain] = {}
            for timeline in segments:
                chain = latest_chain(self._log, timeline) or Chain()
                if timeline in names:
                    chain = chain.next(timeline, number, names[timeline], blocks[timeline])
                chains[timeline] = chain
            made = body({t: c.digest for t, c in chains.items()}) if callable(body) else body
            links: dict[str, Any] = {"chains": {t: c.record() for t, c in chains.items()}}
            if index:
                stored, whole = index
                links["index"] = stored
                links["before"] = whole.link(int(last.links["data"]) if last else 0)
            return {**made, "timelines": names}, links

        entry = self._log.append(kind, make, self._session, self._log_sealer)
        crashpoint("vault.committed")
        return entry

    # ── what the pipeline asks ──────────────────────────────────────────────────────────────────────────────

    def _claim(self, ids: bytes) -> list[int]:
        """Positions of the ids that nobody has stored; from now on this session has."""
        unknown = np.flatnonzero(self._index().find(np.frombuffer(ids, np.uint8)) < 0).tolist()
        fresh = []
        with self._lock:
            for i in unknown:
                chunk = ids[i * CHUNK_ID_BYTES : (i + 1) * CHUNK_ID_BYTES]
                if chunk not in self._claimed:
                    self._claimed.add(chunk)
                    fresh.append(i)
        return fresh

    def _upload(self, pack: OpenPack) -> None:
        content = self._sealed_content()
        with self._lock:
            if not self._announced:
                record = {"sealed": content.sealed.hex()}
                self._log.append("session", lambda _: (record, {}), self._session, self._log_sealer)
                self._announced = True
                crashpoint("vault.session-logged")
        table = pack.table()
        sessions = [(self._session, content.sealed)]
        footer = seal_footer(content.footers, self._session, table, sessions)
        frames = memoryview(pack.buffer)[: pack.used]
        digest = hashlib.sha256(frames)
        digest.update(footer)
        name = digest.hexdigest()
        self._create(packs.name_of(name), frames, footer)
        with self._lock:
            self._uploaded.append(StoredPack(name, len(frames) + len(footer), table, sessions))
        crashpoint("vault.pack-stored")

    # ── pieces of a commit ──────────────────────────────────────────────────────────────────────────────────

    def _store_index(self) -> tuple[list[str], Merged] | None:
        with self._lock:
            uploaded, self._uploaded = self._uploaded, []
        if not uploaded:
            return None
        content = self._sealed_content()
        whole = merged(self._store, self._keys, self._log, list(segments_of(uploaded)))
        names = []
        for segment in whole.segments:
            data = segment.seal(content.indexes, self._session)
            names.append(digest_of(data))
            self._create(indexes.name_of(names[-1]), data)
        return names, whole

    def _store_timeline(self, block: bytes) -> str:
        content = self._sealed_content()
        data = seal_object(timelines.MAGIC, content.timelines, self._session, block, content.sealed)
        name = digest_of(data)
        self._create(timelines.name_of(name), data)
        return name

    def _create(self, name: str, *parts: Buffer) -> None:
        """Stores an object that is named by its bytes. After an error of unknown effect it is read back."""
        try:
            self._store.create(name, parts)
        except StoreError as error:
            try:
                same = self._store.read(name) == b"".join(parts)
            except StoreError:
                raise error from None
            if not same:
                raise (
                    error
                    if not isinstance(error, ExistsError)
                    else StoreError(
                        "it is there with other bytes", doing=f"create {name}", hint="Run `undivided verify`."
                    )
                ) from None
        with self._lock:
            self.bytes_stored += sum(len(part) for part in parts)

    def _started(self) -> Pipeline:
        with self._lock:
            if self._pipeline is None:
                content = self._sealed_content()
                self._pipeline = Pipeline(
                    self._keys.id, self._session, content.frames, self._claim, self._upload
                )
            return self._pipeline

    def _index(self) -> Index:
        with self._lock:
            if self._known is None:
                present = dict(self._store.list("packs/"))
                self._known = known_index(self._store, self._keys, self._log, present)
            return self._known

    def _sealed_content(self) -> _Content:
        with self._lock:
            if self._content is None:
                self._content = _Content(self._keys, self._session)
            return self._content


class _Content:
    """The session's content key, sealed, and the sealers that need a session with content."""

    def __init__(self, keys: WriterKeys, session: bytes) -> None:
        vault = keys.vault_bytes
        key = os.urandom(KEY_BYTES)
        self.sealed = seal_to(keys.public, key, CONTENT_KEY, vault + session)
        self.frames = Sealer(key, vault, session, FRAME)
        self.timelines = Sealer(key, vault, session, timelines.PURPOSE)
        self.footers = Sealer(keys.structure, vault, session, packs.PURPOSE)
        self.indexes = Sealer(keys.structure, vault, session, indexes.PURPOSE)
