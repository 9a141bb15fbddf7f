"""The reader: states of timelines, and the bytes of chunks. All of them are authenticated.

A frame opens only with the key of its session and its own nonce. Then the id of each chunk is computed again
from its bytes. So a reader returns the stored bytes, or raises DamageError with the name of the object.

A mount keeps a reader for days, and a prune deletes packs after it has copied their live frames. So when a
pack is missing, the reader looks for a newer index in the log. The pack is damage only when no newer index
exists.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from blake3 import blake3

from ...model.columns import Array, Ragged
from ...model.entries import Entries
from ...model.errors import DamageError
from ..crypto.aead import damaged
from ..crypto.keys import WriterKeys
from ..format import pack as packs
from ..format.frames import FrameDecoder
from ..format.log_entry import LogEntry
from ..format.timeline_segment import TimelineSegment, fold
from ..index.index import ChunkIndex, Place
from ..index.load import load_index
from ..log.log import Log
from ..stores.base import Store
from .bulk import BulkRestore
from .histories import ContentKeys, Histories, Unlock

_CACHED_FRAMES = 16
_AT_ONCE = 1024


class Reader:
    """Thread-safe. The passphrase is requested when the first content is opened."""

    def __init__(self, store: Store, keys: WriterKeys, log: Log, unlock: Unlock) -> None:
        self._store, self._keys, self._log = store, keys, log
        self._contents = ContentKeys(keys, unlock)
        self._histories = Histories(store, log, self._contents)
        self._lock = threading.Lock()
        self._known: ChunkIndex | None = None
        self._known_at = -1
        self._frames: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._decoder = FrameDecoder()

    def state(self, timeline: str, at: int) -> Entries:
        """The state of the timeline at log entry `at`, sorted by path; empty when the timeline began
        later."""
        self._log.refresh()
        return fold([segment for _, segment in self._histories.segments(timeline, at)])

    def history(self, timeline: str, until: int | None = None) -> Iterator[tuple[LogEntry, TimelineSegment]]:
        """Each entry that changed the timeline, with what it added, oldest first; only few are in memory."""
        self._log.refresh()
        for entry, _, segment in self._histories.each(timeline, until):
            yield entry, segment

    def component(self, timeline: str, sequence: int, digest: str) -> Entries:
        """The entries of a component at a point, sorted by path. The point names the timeline, the log entry
        that changed it last (0 for an empty one), and its digest after that entry.

        Raises DamageError when the vault has another history than the point, or a part of it only.
        """
        if not sequence:
            return Entries.none()
        history = list(self.history(timeline, sequence))
        found = history[-1][0].links["heads"][timeline]["digest"] if history else ""
        if found != digest:
            raise DamageError(
                f"timeline {timeline} has another history in the vault than in the point",
                hint="Compare the vault with a copy before trusting it.",
            )
        return fold([segment for _, segment in history])

    def lengths(self, content: Ragged) -> Array:
        """i8: the plain length of every chunk in the column, in order."""
        index = self._index()
        return index.length[self._rows(index, content.blob[: content.offsets[-1]])].astype(np.int64)

    def read(self, chunk_ids: Sequence[bytes]) -> Iterator[bytes]:
        """The chunks, in order. Recently used frames are cached, so neighbours cost one frame."""
        for start in range(0, len(chunk_ids), _AT_ONCE):
            wanted = chunk_ids[start : start + _AT_ONCE]
            while wanted:
                index = self._index()
                rows = self._rows(index, np.frombuffer(b"".join(wanted), np.uint8)).tolist()
                given = 0
                try:
                    for chunk, row in zip(wanted, rows, strict=True):
                        data = self._chunk(index, chunk, row)
                        given += 1
                        yield data
                except packs.PackMissingError:
                    if self._newer(index) is None:
                        raise
                wanted = wanted[given:]

    def bulk_restore(
        self,
        content: Ragged,
        rows: Array,
        write: Callable[[int, int, memoryview], None],
        done: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Gives every row in `rows` its content: write(row, offset within the row's content, data).

        Every needed frame is read and opened once, in the order of the packs, by a few threads, in bounded
        memory. A chunk of several rows goes to each of them. `write` is called from these threads, with data
        that is valid during the call; `done` is called with the number of bytes written since its last call.
        Raises the first error of any thread, DamageError among them.
        """
        index = self._index()
        bulk_restore = BulkRestore(self._store, self._keys.id, self._contents, index, self._rows, self._newer)
        bulk_restore.run(content, rows, write, done)

    def open_index(self) -> None:
        """Reads the index now instead of at the first lookup. This needs no passphrase."""
        self._index()

    def _index(self) -> ChunkIndex:
        with self._lock:
            last = self._log.last
            newest = int(last.links["data"]) if last else 0
            if self._known is None or self._known_at != newest:
                self._known = load_index(self._store, self._keys, self._log, before=self._known)
                self._known_at = newest
            return self._known

    def _newer(self, index: ChunkIndex) -> ChunkIndex | None:
        """The index of the newest log entry; None when `index` is the newest."""
        self._log.refresh()
        newest = self._index()
        return None if newest is index else newest

    def _rows(self, index: ChunkIndex, ids: Array) -> Array:
        """The rows of flat ids in the index. Raises DamageError when one is unknown."""
        rows = index.find(ids)
        lost = np.flatnonzero(rows < 0)
        if len(lost):
            first = ids.reshape(-1, 32)[lost[0]].tobytes().hex()
            raise DamageError(
                f"{len(lost)} chunks are in no usable pack of the vault, for example {first}",
                hint="Run `undivided verify` to see which points and files are affected.",
            )
        return rows

    def _chunk(self, index: ChunkIndex, chunk: bytes, row: int) -> bytes:
        place = index.place(int(index.frame[row]))
        offset = int(index.offset[row])
        data = self._frame(place)[offset : offset + int(index.length[row])]
        check_chunk(self._keys.id, chunk, data, place.pack)
        return data

    def _frame(self, place: Place) -> bytes:
        with self._lock:
            known = self._frames.get((place.pack, place.offset))
            if known is not None:
                self._frames.move_to_end((place.pack, place.offset))
                return known
            sealed = packs.read_part(self._store, place.pack, place.offset, place.stored)
            name = packs.name_of(place.pack)
            opener = self._contents.frames(place.session, place.sealed_key, name)
            plain = bytes(
                self._decoder.decode(
                    opener, place.session, place.counter, place.codec, memoryview(sealed), place.plain, name
                )
            )
            self._frames[place.pack, place.offset] = plain
            if len(self._frames) > _CACHED_FRAMES:
                self._frames.popitem(last=False)
            return plain


def check_chunk(id_key: bytes, chunk: bytes, data: bytes | memoryview, pack: str) -> None:
    """Raises DamageError unless the data is that chunk."""
    if blake3(data, key=id_key).digest() != chunk:
        raise damaged(packs.name_of(pack), f"a chunk in it is not {chunk.hex()}")
