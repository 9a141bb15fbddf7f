"""Frames: the unit of compression and encryption, up to about 1 MiB of plain data.

A frame is one large chunk, or many small chunks that lie next to each other. It is compressed when
compression saves space, else kept raw, and then sealed (vault/crypto/aead.py, purpose "frame", key: the
session's content key).

The compression is zstd's double-fast strategy with small tables and a short match length: it compresses
better than level 2 in little more time than level 1 (docs/decisions/chunks-and-compression.md).
"""

from __future__ import annotations

import threading
from typing import Any

import zstandard

from ..crypto.aead import TAG_BYTES, Buffer, Opener, damaged

PURPOSE = "frame"
TARGET = 1 << 20
"""Small chunks are collected until their frame has this many plain bytes."""
LARGEST = 4 << 20
"""No frame holds more plain bytes: a reader refuses to allocate more."""
RAW, ZSTD = 0, 1
_WORTH = 0.97  # a frame that shrinks by less is stored raw, so reading it back needs only decryption
_PARAMETERS: dict[str, Any] = {
    "strategy": zstandard.STRATEGY_DFAST, "window_log": 22, "hash_log": 16, "chain_log": 15, "min_match": 5,
}  # fmt: skip
_own = threading.local()


def compress(plain: memoryview) -> tuple[int, Buffer]:
    """(codec, bytes): a view of `plain` itself when compressing does not pay."""
    compressor = getattr(_own, "compressor", None)
    if compressor is None:
        parameters = zstandard.ZstdCompressionParameters(**_PARAMETERS)
        compressor = _own.compressor = zstandard.ZstdCompressor(compression_params=parameters)
    packed: bytes = compressor.compress(plain)
    return (ZSTD, packed) if len(packed) < len(plain) * _WORTH else (RAW, plain)


class FrameDecoder:
    """Opens frames into buffers that it reuses. One per thread."""

    def __init__(self) -> None:
        self._sealed = bytearray(LARGEST + TAG_BYTES)
        self._plain = bytearray(LARGEST)
        self._decompressor = zstandard.ZstdDecompressor()

    def decode(
        self,
        opener: Opener,
        header: bytes,
        counter: int,
        codec: int,
        sealed: memoryview,
        size: int,
        name: str,
        into: memoryview | None = None,
    ) -> memoryview:
        """The plain bytes, valid until the next call. into: a buffer of at least `size` bytes for them; None
        for the decoder's own. name: of the object, for errors. Raises DamageError."""
        if size > LARGEST or len(sealed) > len(self._sealed) or len(sealed) < TAG_BYTES:
            raise damaged(name, "a frame has an impossible size")
        if codec == RAW and len(sealed) - TAG_BYTES != size:
            raise damaged(name, "the size of a frame differs from its record")
        plain = (memoryview(self._plain) if into is None else into)[:size]
        opened = plain if codec == RAW else memoryview(self._sealed)[: len(sealed) - TAG_BYTES]
        opener.open_into(counter, sealed, header, opened, name)
        if codec == RAW:
            return opened
        try:
            with self._decompressor.stream_reader(opened) as stream:
                whole = _fill(stream, plain) == size and not stream.read(1)
        except zstandard.ZstdError as error:
            raise damaged(name, f"a frame does not decompress ({error})") from error
        if codec != ZSTD or not whole:
            raise damaged(name, "the size or codec of a frame differs from its record")
        return plain


def _fill(stream: Any, into: memoryview) -> int:
    done = 0
    while done < len(into):
        got = stream.readinto(into[done:])
        if not got:
            break
        done += got
    return done
