"""Repacking: the live frames of mostly unused packs move into new packs, as ciphertext.

A frame is bound to its session and its counter, not to its pack: it opens in any pack that also holds its
session's sealed content key. So repacking needs no content key and reveals nothing; a new pack's footer names
the sessions of its frames. A frame with an unneeded chunk in it moves whole.

A pack is read whole and its SHA-256 checked before any of it moves: rotten bytes must not get a new, right
name. A damaged pack stays where it is. Each new pack is complete and durable before the next begins: an
interrupted run has lost nothing, and the next one takes the rest.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Callable, Collection, Iterator

import numpy as np

from ...host.parallel import in_order
from ...model.columns import Array
from ...model.errors import DamageError
from ..crypto.aead import TAG_BYTES, Sealer, damaged
from ..crypto.envelope import digest_of
from ..format import pack as packs
from ..format.index_segment import MOST_SESSIONS, IndexSegment, StoredPack
from ..format.pack import OpenPack, seal_footer
from ..index.index import ChunkIndex
from ..stores.base import Store, StoreError, parallel


class Repacking:
    """One run. repacked: packs whose live frames all lie in new, stored packs. left: packs that were not
    repacked, each with its damage."""

    def __init__(
        self,
        store: Store,
        session: bytes,
        footers: Sealer,
        create: Callable[[str, memoryview, bytes], object],
    ) -> None:
        """session, footers: of the session that repacks. create: stores an object, given as its name and two
        parts."""
        self.repacked: list[str] = []
        self.left: dict[str, DamageError] = {}
        self._store, self._session, self._footers, self._create = store, session, footers, create
        self._buffer = mmap.mmap(-1, packs.CAPACITY)
        self._open = OpenPack(self._buffer)
        self._sessions: dict[tuple[bytes, bytes], int] = {}
        self._copied: list[str] = []

    def run(self, index: ChunkIndex, chosen: Collection[str], live: Array) -> Iterator[StoredPack]:
        """chosen: packs (hex digests); live: bool per frame of the index. Gives each new pack once it is
        stored. Raises StoreError when it cannot be."""
        first = 0
        for segment in index.segments:
            own = live[first : first + len(segment.stored)]
            first += len(segment.stored)
            yield from self._segment(segment, chosen, own)
        if self._open.used:
            yield self._store_open()

    def _segment(self, segment: IndexSegment, chosen: Collection[str], live: Array) -> Iterator[StoredPack]:
        """Moves the frames of one segment's packs, pack by pack. Skips packs without a live frame here."""
        names = segment.names()
        ends = np.cumsum(segment.frames, dtype=np.int64)
        wanted = live & np.repeat(np.array([name in chosen for name in names], np.bool_), segment.frames)
        if not wanted.any():
            return
        rows = np.flatnonzero(wanted[segment.frame])
        rows = rows[np.lexsort((segment.offset[rows], segment.frame[rows]))]
        frame_of_row = segment.frame[rows]
        counts = segment.frames.tolist()
        ours = [
            (name, end, count)
            for name, end, count in zip(names, ends.tolist(), counts, strict=True)
            if wanted[end - count : end].any() and name not in self.left
        ]
        stored_packs = in_order(self._read, (name for name, _, _ in ours), threads=parallel(self._store))
        for (name, end, count), data in zip(ours, stored_packs, strict=True):
            if isinstance(data, DamageError):
                self.left[name] = data
                continue
            frames = np.flatnonzero(wanted[end - count : end])
            offsets = np.cumsum(segment.stored[end - count : end], dtype=np.int64)
            for frame in frames.tolist():
                at = end - count + frame
                stored = int(segment.stored[at])
                if not self._fits(stored):
                    yield self._store_open()
                own = rows[slice(*np.searchsorted(frame_of_row, [at, at + 1]).tolist())]
                self._copy(segment, at, own, data[int(offsets[frame]) - stored : int(offsets[frame])])
            self._copied.append(name)

    def _read(self, name: str) -> memoryview | DamageError:
        """The pack, or its damage."""
        what = packs.name_of(name)
        try:
            data = self._store.read(what)
        except StoreError as error:
            return damaged(what, f"it cannot be read ({error.cause})")
        if digest_of(data) != name:
            return damaged(what, "its SHA-256 is not its name")
        return memoryview(data)

    def _fits(self, stored: int) -> bool:
        return self._open.fits(stored - TAG_BYTES) and len(self._sessions) < MOST_SESSIONS

    def _copy(self, segment: IndexSegment, frame: int, rows: Array, sealed: memoryview) -> None:
        key = segment.sessions[int(segment.session[frame])]
        place = self._open.allocate(
            len(sealed) - TAG_BYTES,
            int(segment.plain[frame]),
            int(segment.codec[frame]),
            int(segment.counter[frame]),
            segment.ids(rows).tobytes(),
            segment.length[rows].tolist(),
            self._sessions.setdefault(key, len(self._sessions)),
        )
        place[:] = sealed

    def _store_open(self) -> StoredPack:
        header, sessions = self._open.header(), list(self._sessions)
        footer = seal_footer(self._footers, self._session, header, sessions)
        frames = memoryview(self._buffer)[: self._open.used]
        digest = hashlib.sha256(frames)
        digest.update(footer)
        name = digest.hexdigest()
        self._create(packs.name_of(name), frames, footer)
        stored = StoredPack(name, len(frames) + len(footer), header, sessions)
        self._open, self._sessions = OpenPack(self._buffer), {}
        self.repacked += self._copied
        self._copied = []
        return stored
