"""Deduplication: the chunks that a session need not store, because the vault or the session itself has them.

A chunk of the index counts only if its pack is usable. Packs that are missing, have another size or were
found damaged do not count, so the next protection stores their chunks again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

import numpy as np

from ...model.columns import Array
from ...model.entries import CHUNK_ID_BYTES
from ..crypto.keys import WriterKeys
from ..format.index_segment import StoredPack
from ..index.index import ChunkIndex
from ..index.load import load_index
from ..log.log import Log
from ..stores.base import Store
from .in_flight import InFlightChunks


class KnownChunks:
    """Thread-safe. The index is loaded when it is first needed."""

    def __init__(self, store: Store, keys: WriterKeys, log: Log) -> None:
        self._store, self._keys, self._log = store, keys, log
        self._lock = threading.RLock()
        self._index: ChunkIndex | None = None
        self._in_flight = InFlightChunks()

    def claim(self, ids: bytes) -> list[int]:
        """ids: 32 bytes each. The positions of those that are stored nowhere. The caller stores them: from
        now on they are in flight."""
        unknown = np.flatnonzero(self._loaded().find(np.frombuffer(ids, np.uint8)) < 0).tolist()
        with self._lock:
            return self._in_flight.take(ids, unknown)

    def stored(self, ids: Array) -> Array:
        """ids: u1[32n]. bool[n]: whether each is in a usable pack of the index."""
        known: Array = self._loaded().find(ids) >= 0
        return known

    def have(self, ids: Array) -> bool:
        """ids: u1[32n]. Whether all are in the index, or among this session's own chunks."""
        gone = np.flatnonzero(~self.stored(ids))
        with self._lock:
            return bool(self._in_flight.has(ids.reshape(-1, CHUNK_ID_BYTES)[gone]).all())

    def reload(self, uploaded: Iterable[StoredPack]) -> None:
        """After a prune: the index is loaded again, and this session's own chunks are those of its packs."""
        with self._lock:
            self._index = None
            self._in_flight = InFlightChunks()
            for pack in uploaded:
                self._in_flight.take(pack.header.id.tobytes(), range(len(pack.header.length)))

    def _loaded(self) -> ChunkIndex:
        with self._lock:
            if self._index is None:
                present = dict(self._store.list("packs/"))
                self._index = load_index(self._store, self._keys, self._log, present)
            return self._index
