"""Every byte of one pack looked at.

The pack's name is the hash of its bytes. Where it does not match, the footer tells what is left: each frame
is opened by itself and each chunk's id computed again, so that damage is named chunk by chunk.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from ..model.columns import Array
from ..model.entries import CHUNK_ID_BYTES
from ..model.errors import DamageError
from . import pack as packs
from .contents import ContentKeys
from .frames import FrameDecoder
from .index import Index
from .inventory import numbers_of
from .keys import WriterKeys
from .pack import open_footer
from .sealed import digest_of
from .stores.base import Store, StoreError
from .table import SessionKeys, Table

_own = threading.local()


@dataclass(frozen=True)
class Inspected:
    """What one pack is. cause: "" when it is whole. lost: u1[32n], the chunks that cannot be read; None for
    all that the index has in it. bytes: read."""

    name: str
    cause: str = ""
    lost: Array | None = None
    bytes: int = 0


class Inspector:
    """Looks at packs. Thread-safe. contents: None without the passphrase; then frames stay sealed."""

    def __init__(self, store: Store, keys: WriterKeys, contents: ContentKeys | None, index: Index) -> None:
        self._store, self._keys, self._contents, self._index = store, keys, contents, index

    def inspect(self, name: str) -> Inspected:
        """Never raises for what is wrong with the pack: that is the answer."""
        what = packs.name_of(name)
        try:
            data = self._store.read(what)
            table, sessions = self._described(name, data)
        except (DamageError, StoreError) as error:
            return Inspected(name, error.cause)
        ids = table.id.reshape(-1, CHUNK_ID_BYTES)
        whole = digest_of(data) == name
        if not agrees(self._index, name, table):
            return Inspected(name, "its footer and the index disagree", None, len(data))
        if self._contents is None:
            # Unopened, one flipped bit may be anywhere in it.
            return Inspected(name, "" if whole else _RENAMED, None, len(data))
        broken = broken_chunks(self._keys.id, self._contents, table, sessions, memoryview(data), what)
        if broken.any():
            count = int(broken.sum())
            cause = f"{count} of its {len(ids)} chunks are not what was stored"
            return Inspected(name, cause, ids[broken].ravel(), len(data))
        return Inspected(name, "" if whole else _RENAMED, ids[:0].ravel(), len(data))

    def _described(self, name: str, data: bytes) -> tuple[Table, SessionKeys]:
        footer = open_footer(self._keys, data, packs.name_of(name))
        return footer.table, footer.sessions


_RENAMED = "its SHA-256 is not its name"


def agrees(index: Index, name: str, table: Table) -> bool:
    """Whether the index knows every chunk of the pack, and those that it finds there where they lie."""
    rows = index.find(table.id)
    if (rows < 0).any():
        return False
    frames = index.frame[rows]
    number = index.pack_of(frames)
    here = np.flatnonzero(np.isin(number, numbers_of(index, name)))
    own = table.frame_of_chunk()[here]
    ends = np.cumsum(table.stored, dtype=np.int64)
    return bool(
        np.array_equal(index.frame_offset[frames[here]], (ends - table.stored)[own])
        and np.array_equal(index.stored[frames[here]], table.stored[own])
        and np.array_equal(index.offset[rows[here]], table.place_of_chunk()[here])
        and np.array_equal(index.length[rows[here]], table.length[here])
    )


def broken_chunks(
    id_key: bytes, contents: ContentKeys, table: Table, sessions: SessionKeys, data: memoryview, what: str
) -> Array:
    """bool per chunk of the table: whether it cannot be read from the pack's bytes."""
    decoder = getattr(_own, "decoder", None)
    if decoder is None:
        decoder = _own.decoder = FrameDecoder()
    ids, lengths = table.id.tobytes(), table.length.tolist()
    broken = np.zeros(len(lengths), np.bool_)
    names = ("stored", "plain", "codec", "counter", "session", "chunks")
    at = chunk = 0
    for stored, plain, codec, counter, number, count in zip(
        *(getattr(table, name).tolist() for name in names), strict=True
    ):
        session, sealed_key = sessions[number]
        try:
            opener = contents.frames(session, sealed_key, what)
            opened = decoder.decode(opener, session, counter, codec, data[at : at + stored], plain, what)
        except DamageError:
            broken[chunk : chunk + count] = True
        else:
            place = 0
            for i in range(chunk, chunk + count):
                own = blake3(opened[place : place + lengths[i]], key=id_key).digest()
                broken[i] = own != ids[i * CHUNK_ID_BYTES : (i + 1) * CHUNK_ID_BYTES]
                place += lengths[i]
        at += stored
        chunk += count
    return broken
