"""Pack check: every byte of one pack.

A pack's name is the hash of its bytes. Where it does not match, the index lists what must be in the pack:
each frame is opened on its own and each chunk's id is computed again. So damage is named chunk by chunk, also
when the pack was cut short and its own footer is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from ...model.columns import Array
from ...model.entries import CHUNK_ID_BYTES
from ...model.errors import DamageError
from ..crypto.envelope import digest_of
from ..crypto.keys import WriterKeys
from ..format import pack as packs
from ..format.frames import FrameDecoder
from ..format.index_segment import StoredPack
from ..format.pack import open_footer
from ..format.pack_header import PackHeader, SessionKeys
from ..index.index import ChunkIndex
from ..read.histories import ContentKeys
from ..stores.base import Store, StoreError

_own = threading.local()


@dataclass(frozen=True)
class PackCheck:
    """The state of one pack. cause: "" when it is whole. lost: u1[32n], the chunks that cannot be read; None
    for all of its chunks in the index. bytes: read."""

    name: str
    cause: str = ""
    lost: Array | None = None
    bytes: int = 0


class PackChecker:
    """Thread-safe. contents: None without the passphrase; then frames stay sealed."""

    def __init__(
        self, store: Store, keys: WriterKeys, contents: ContentKeys | None, index: ChunkIndex
    ) -> None:
        self._store, self._keys, self._contents, self._index = store, keys, contents, index

    def check(self, name: str) -> PackCheck:
        """Damage of the pack is never raised: it is the result."""
        what = packs.name_of(name)
        try:
            data = self._store.read(what)
            cause = self._cause(name, data)
            if cause:
                known = stored_pack(self._index, name)
                header, sessions, wrong = known.header, known.sessions, len(data) != known.size
                cause = f"it has {len(data)} bytes instead of {known.size}" if wrong else cause
            else:
                footer = open_footer(self._keys, data, what)
                header, sessions = footer.header, footer.sessions
        except (DamageError, StoreError) as error:
            return PackCheck(name, error.cause)
        if self._contents is None:
            # Unopened, one flipped bit may be anywhere in it.
            return PackCheck(name, cause, None, len(data))
        ids = header.id.reshape(-1, CHUNK_ID_BYTES)
        opened = opened_chunks(self._keys.id, self._contents, header, sessions, memoryview(data), what)
        broken = np.fromiter((chunk is None for _, chunk in opened), np.bool_, len(ids))
        if broken.any():
            cause = cause or "it does not open, though its SHA-256 is its name"
            cause = f"{cause}; {int(broken.sum())} of its {len(ids)} chunks are not what was stored"
        return PackCheck(name, cause, ids[broken].ravel(), len(data))

    def _cause(self, name: str, data: bytes) -> str:
        """The damage of the pack as a whole, "" for none. Raises DamageError."""
        if digest_of(data) != name:
            return "its SHA-256 is not its name"
        footer = open_footer(self._keys, data, packs.name_of(name))
        return "" if agrees(self._index, name, footer.header) else "its footer and the index disagree"


def agrees(index: ChunkIndex, name: str, header: PackHeader) -> bool:
    """Whether the index has every chunk of the pack, and in the right place those that it finds in this
    pack."""
    rows = index.find(header.id)
    if (rows < 0).any():
        return False
    frames = index.frame[rows]
    number = index.pack_of(frames)
    own_numbers = [n for n in np.unique(number).tolist() if index.packs[n] == name]
    here = np.flatnonzero(np.isin(number, own_numbers))
    own = header.frame_of_chunk()[here]
    ends = np.cumsum(header.stored, dtype=np.int64)
    return bool(
        np.array_equal(index.frame_offset[frames[here]], (ends - header.stored)[own])
        and np.array_equal(index.stored[frames[here]], header.stored[own])
        and np.array_equal(index.offset[rows[here]], header.offset_of_chunk()[here])
        and np.array_equal(index.length[rows[here]], header.length[here])
    )


def stored_pack(index: ChunkIndex, name: str) -> StoredPack:
    """A pack as the index has it. Raises DamageError when it has no such pack."""
    for segment in index.segments:
        if name in segment.names():
            return next(pack for pack in segment.packs() if pack.name == name)
    raise DamageError(f"the index does not know {packs.name_of(name)}")


def opened_chunks(
    id_key: bytes,
    contents: ContentKeys,
    header: PackHeader,
    sessions: SessionKeys,
    data: memoryview,
    what: str,
) -> Iterator[tuple[bytes, memoryview | None]]:
    """(id, bytes) of each chunk of the header; None for chunks that cannot be read from the pack's bytes. The
    bytes are valid until the next pair is requested."""
    decoder = getattr(_own, "decoder", None)
    if decoder is None:
        decoder = _own.decoder = FrameDecoder()
    ids, lengths = header.id.tobytes(), header.length.tolist()
    names = ("stored", "plain", "codec", "counter", "session", "chunks")
    at = chunk = 0
    for stored, plain, codec, counter, number, count in zip(
        *(getattr(header, name).tolist() for name in names), strict=True
    ):
        session, sealed_key = sessions[number]
        opened: memoryview | None = None
        try:
            opener = contents.frames(session, sealed_key, what)
            opened = decoder.decode(opener, session, counter, codec, data[at : at + stored], plain, what)
        except DamageError:
            opened = None
        place = 0
        for i in range(chunk, chunk + count):
            id = ids[i * CHUNK_ID_BYTES : (i + 1) * CHUNK_ID_BYTES]
            data_of = opened[place : place + lengths[i]] if opened is not None else None
            whole = data_of is not None and blake3(data_of, key=id_key).digest() == id
            yield id, data_of if whole else None
            place += lengths[i]
        at += stored
        chunk += count
