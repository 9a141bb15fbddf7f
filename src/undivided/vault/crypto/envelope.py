"""Envelopes: the stored form of index and timeline segments.

    magic 4 | session 16 | counter u64 | length u16 | sealed content key (that many bytes) | sealed column
    block

Integers are big-endian; everything before the block is its associated data. Like a pack, an envelope is named
by the SHA-256 of its bytes, so the stored bytes can be checked without any key.
"""

from __future__ import annotations

import hashlib
import struct

from .aead import TAG_BYTES, Buffer, Opener, Sealer, damaged

_HEADER = struct.Struct(">4s16sQH")


def seal_envelope(
    magic: bytes, sealer: Sealer, session: bytes, block: bytes, sealed_key: bytes = b""
) -> Buffer:
    """The stored bytes."""
    counter = sealer.count()
    header = _HEADER.pack(magic, session, counter, len(sealed_key)) + sealed_key
    out = bytearray(len(header) + len(block) + TAG_BYTES)
    out[: len(header)] = header
    sealer.seal_into(counter, block, header, memoryview(out)[len(header) :])
    return out


class Envelope:
    """Stored bytes, parsed but not yet opened. name: of the object, for errors. Raises DamageError."""

    def __init__(self, magic: bytes, data: bytes, name: str) -> None:
        if len(data) < _HEADER.size:
            raise damaged(name, "it is too short")
        found, self.session, self._counter, length = _HEADER.unpack_from(data)
        if found != magic:
            raise damaged(name, "it is another kind of object")
        end = _HEADER.size + length
        self.sealed_key = data[_HEADER.size : end]
        self._header, self._block = data[:end], memoryview(data)[end:]
        self._name = name

    def open(self, key: bytes, vault: bytes, purpose: str) -> memoryview:
        """The authenticated column block."""
        opener = Opener(key, vault, self.session, purpose)
        return memoryview(opener.open(self._counter, self._block, self._header, self._name))


def digest_of(data: Buffer) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(data).hexdigest()
