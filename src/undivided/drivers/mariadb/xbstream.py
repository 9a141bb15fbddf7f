"""The stream that mariadb-backup writes, parsed: many files, in chunks, on one pipe.

    "XBSTCK01" | flags u8 | type u8 | path length u32 | path | for a payload: length u64 | offset u64 | crc32
    u32 | bytes

Type 'P' is a piece of a file, 'E' its end; numbers are little-endian. Chunks of different files may come in
any order, chunks of one file come in order. Everything is checked: a stream that is cut short, has a gap, a
wrong checksum or an unknown chunk is an error, never a shorter file. Flag 1 marks chunks that a reader may
ignore.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from ...model.errors import SourceError

MAGIC = b"XBSTCK01"
_HEAD = struct.Struct("<8sBcI")
_PAYLOAD = struct.Struct("<QQI")
_IGNORABLE = 1
_LONGEST_PATH = 4096
_LARGEST_PIECE = 1 << 30


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the file at `path` (relative, normalized). data None: the file is complete."""

    path: bytes
    data: bytes | None


def pieces(stream: IO[bytes]) -> Iterator[Piece]:
    """The stream's pieces in order. Raises SourceError for a stream that is not whole and valid."""
    sizes: dict[bytes, int] = {}
    ended: set[bytes] = set()
    while head := stream.read(_HEAD.size):
        if len(head) < _HEAD.size:
            raise _broken("it ends inside a chunk")
        magic, flags, kind, length = _HEAD.unpack(head)
        if magic != MAGIC or length > _LONGEST_PATH:
            raise _broken("it is not in the mbstream format")
        path = _clean(_exactly(stream, length))
        if kind == b"E":
            if path in ended:
                raise _broken(f"{path!r} ends twice")
            ended.add(path)
            sizes.pop(path, None)
            yield Piece(path, None)
        elif kind == b"P" or flags & _IGNORABLE:
            size, offset, checksum = _PAYLOAD.unpack(_exactly(stream, _PAYLOAD.size))
            if size > _LARGEST_PIECE:
                raise _broken(f"a piece of {path!r} claims {size} bytes")
            data = _exactly(stream, size)
            if kind != b"P":
                continue
            if zlib.crc32(data) != checksum:
                raise _broken(f"a piece of {path!r} does not match its checksum")
            if path in ended or offset != sizes.get(path, 0):
                raise _broken(f"{path!r} has a gap at {sizes.get(path, 0)}")
            sizes[path] = offset + size
            yield Piece(path, data)
        else:
            raise _broken(f"it has a chunk of type {kind!r}, which this version does not know")
    if sizes:
        raise _broken(f"{sorted(sizes)[0]!r} has no end")


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise _broken("it ends inside a chunk")
    return data


def _clean(path: bytes) -> bytes:
    parts = [p for p in path.split(b"/") if p not in (b"", b".")]
    if not parts or path.startswith(b"/") or b".." in parts or b"\0" in path:
        raise _broken(f"it names a file {path!r} outside the data directory")
    return b"/".join(parts)


def _broken(cause: str) -> SourceError:
    return SourceError(
        f"the stream of mariadb-backup is damaged: {cause}", doing="take an image of a MariaDB server"
    )
