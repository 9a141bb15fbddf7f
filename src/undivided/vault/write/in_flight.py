"""In-flight chunks: those that a session stores, so that none is stored twice before an index has it.

A first backup of a large service has tens of millions. As Python objects they would take three times as
much as the index, so only the latest are: sixty thousand at a time become columns like those of the index,
sorted by prefix, 32 bytes a chunk. Columns are joined while they are small, so that few have to be searched.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...model.columns import Array
from ...model.entries import CHUNK_ID_BYTES
from ..format.index_segment import PREFIX_BYTES, SortedIds, prefixes

_LATEST = 1 << 14
_LARGEST = 1 << 20


class InFlightChunks:
    """Not thread-safe: the session's lock protects it."""

    def __init__(self) -> None:
        self._latest: set[bytes] = set()
        self._columns: list[SortedIds] = []

    def __len__(self) -> int:
        return len(self._latest) + sum(len(column.prefix) for column in self._columns)

    def take(self, ids: bytes, among: Sequence[int]) -> list[int]:
        """Those of the positions `among` whose id was not taken before, each id once. From now on it is
        taken."""
        fresh = []
        parts = np.frombuffer(ids, np.uint8).reshape(-1, CHUNK_ID_BYTES)[np.array(among, np.int64)]
        for i, known in zip(among, self._in_columns(parts).tolist(), strict=True):
            chunk = ids[i * CHUNK_ID_BYTES : (i + 1) * CHUNK_ID_BYTES]
            if not known and chunk not in self._latest:
                self._latest.add(chunk)
                fresh.append(i)
        if len(self._latest) >= _LATEST:
            self._settle()
        return fresh

    def has(self, ids: Array) -> Array:
        """ids: u1[n,32]. bool[n]"""
        known = self._in_columns(ids)
        known |= np.fromiter((chunk.tobytes() in self._latest for chunk in ids), np.bool_, len(ids))
        return known

    def _in_columns(self, ids: Array) -> Array:
        known = np.zeros(len(ids), np.bool_)
        if self._columns and len(ids):
            prefix, words = prefixes(ids), np.ascontiguousarray(ids).view(np.uint64)
            for column in self._columns:
                known[column.find(prefix, words, np.flatnonzero(~known))[0]] = True
        return known

    def _settle(self) -> None:
        ids = np.frombuffer(b"".join(self._latest), np.uint8).reshape(-1, CHUNK_ID_BYTES)
        self._latest = set()
        prefix = prefixes(ids)
        column = SortedIds(prefix, ids[:, PREFIX_BYTES:].view(np.uint64)).sorted()
        while self._columns:
            before = self._columns[-1]
            if len(before.prefix) > min(2 * len(column.prefix), _LARGEST - len(column.prefix)):
                break
            self._columns.pop()
            both = zip(before, column, strict=True)
            column = SortedIds(*(np.concatenate(pair) for pair in both)).sorted()
        self._columns.append(column)
