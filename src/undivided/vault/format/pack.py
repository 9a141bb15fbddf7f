"""Packs: frames one after another, then a footer that describes them, then a trailer that locates the footer.

    frame … frame | footer, sealed | "UDP1" | session 16 | counter u64 | length of the sealed footer u32

The footer is a column block, the pack header (pack_header.py), sealed for purpose "footer" with the trailer
as associated data. It carries the sealed content keys of the frames' sessions, so a pack alone can be read
with the vault's keys. A writer's pack has one session, the trailer's; a pack into which a prune moved frames
has the sessions of those frames. A pack is named by the SHA-256 of all its bytes and has about 32 MiB. Frames
are sealed directly into a buffer that later packs reuse: fresh megabytes from the allocator cost more than
the cipher.
"""

from __future__ import annotations

import mmap
import struct
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from ...model.columns import decode, encode
from ...model.errors import DamageError
from ..crypto.aead import DAMAGE_HINT, TAG_BYTES, Opener, Sealer, damaged
from ..crypto.keys import WriterKeys
from ..stores.base import MissingError, Store, StoreError, read_into
from .pack_header import PackHeader, SessionKeys

MAGIC = b"UDP1"
PURPOSE = "footer"
TRAILER = struct.Struct(">4s16sQI")
CAPACITY = 32 << 20
"""Bytes of frames in a full pack; the footer comes on top."""


class PackMissingError(DamageError):
    """The pack is missing: lost, or deleted by a prune after the index that names it was read."""


def name_of(digest: str) -> str:
    """The object name of the pack whose bytes have this SHA-256 (hex)."""
    return f"packs/{digest[:2]}/{digest}"


def read_part(store: Store, digest: str, start: int, length: int) -> bytes:
    """Bytes of a pack. Raises PackMissingError when the pack is missing, DamageError naming the pack when the
    bytes cannot be read."""
    with _naming(name_of(digest)) as name:
        return store.read(name, start, length)


def read_part_into(store: Store, digest: str, start: int, into: memoryview) -> None:
    """As read_part, into a buffer of the wanted length."""
    with _naming(name_of(digest)) as name:
        read_into(store, name, start, into)


@contextmanager
def _naming(name: str) -> Iterator[str]:
    """Failures of the store become damage that names the pack."""
    try:
        yield name
    except MissingError as error:
        raise PackMissingError(f"{name} is missing", hint=DAMAGE_HINT) from error
    except StoreError as error:
        raise damaged(name, f"it cannot be read ({error.cause})") from error


class OpenPack:
    """A pack that is being filled. Not thread-safe: the pipeline's lock protects all but the bytes of
    allocated frames."""

    def __init__(self, buffer: mmap.mmap) -> None:
        self.buffer = buffer
        self.used = 0
        self.pending = 0
        self.closed = False
        self._stored, self._plain, self._chunks = array("I"), array("I"), array("I")
        self._codec, self._counter, self._session = bytearray(), array("Q"), array("H")
        self._ids: list[bytes] = []
        self._lengths = array("I")

    def fits(self, size: int) -> bool:
        return self.used + size + TAG_BYTES <= len(self.buffer)

    def allocate(
        self,
        size: int,
        plain: int,
        codec: int,
        counter: int,
        ids: bytes,
        lengths: Sequence[int],
        session: int = 0,
    ) -> memoryview:
        """Room for a frame that has `size` bytes before sealing."""
        start, self.used = self.used, self.used + size + TAG_BYTES
        self.pending += 1
        self._stored.append(size + TAG_BYTES)
        self._plain.append(plain)
        self._codec.append(codec)
        self._counter.append(counter)
        self._session.append(session)
        self._chunks.append(len(lengths))
        self._ids.append(ids)
        self._lengths.extend(lengths)
        return memoryview(self.buffer)[start : self.used]

    def header(self) -> PackHeader:
        return PackHeader(
            stored=np.array(self._stored, "<u4"),
            plain=np.array(self._plain, "<u4"),
            codec=np.frombuffer(bytes(self._codec), "u1"),
            counter=np.array(self._counter, "<u8"),
            session=np.array(self._session, "<u2"),
            chunks=np.array(self._chunks, "<u4"),
            id=np.frombuffer(b"".join(self._ids), "u1"),
            length=np.array(self._lengths, "<u4"),
        )


def seal_footer(sealer: Sealer, session: bytes, header: PackHeader, sessions: SessionKeys) -> bytes:
    """Footer and trailer. session: the one that makes the pack; sessions: those whose keys sealed the
    frames."""
    block = encode(header.columns(), {"sessions": [[s.hex(), k.hex()] for s, k in sessions]})
    counter = sealer.count()
    trailer = TRAILER.pack(MAGIC, session, counter, len(block) + TAG_BYTES)
    return sealer.seal(counter, block, trailer) + trailer


@dataclass(frozen=True)
class Footer:
    """A pack's own description. session: the one that made it; sessions: those whose keys sealed its
    frames."""

    session: bytes
    sessions: SessionKeys
    header: PackHeader


def read_footer(store: Store, keys: WriterKeys, digest: str, size: int) -> Footer:
    """The footer of a pack of this size in the store, without reading its frames. Raises DamageError."""
    if size < TRAILER.size:
        raise damaged(name_of(digest), "it is too short")
    *_, length = TRAILER.unpack(read_part(store, digest, size - TRAILER.size, TRAILER.size))
    whole = min(size, TRAILER.size + int(length))
    return open_footer(keys, read_part(store, digest, size - whole, whole), name_of(digest), size)


def open_footer(keys: WriterKeys, pack: bytes | memoryview, name: str, size: int | None = None) -> Footer:
    """The footer of a pack in memory. name: of the object, for errors; size: of the whole pack, when `pack`
    is only its end. Raises DamageError."""
    view = memoryview(pack)
    trailer = bytes(view[-TRAILER.size :])
    if len(trailer) < TRAILER.size:
        raise damaged(name, "it is too short")
    magic, session, counter, length = TRAILER.unpack(trailer)
    frames = (len(view) if size is None else size) - TRAILER.size - length
    if magic != MAGIC or frames < 0:
        raise damaged(name, "it does not end like a pack")
    sealed = view[max(0, len(view) - TRAILER.size - length) : -TRAILER.size]
    opener = Opener(keys.structure_of(session, name), keys.vault_bytes, session, PURPOSE)
    try:
        columns, block_header = decode(bytes(opener.open(counter, sealed, trailer, name)))
        sessions = [(bytes.fromhex(s), bytes.fromhex(k)) for s, k in block_header["sessions"]]
        header = PackHeader.of(columns, len(sessions))
    except (DamageError, ValueError, KeyError, TypeError) as error:
        raise damaged(name, f"its footer is wrong ({error.args[0]})") from error
    if int(header.stored.sum(dtype=np.int64)) != frames:
        raise damaged(name, "the sizes of its frames do not add up to its size")
    return Footer(session, sessions, header)
