"""The binary log as it grows: from the image's place to the mark, byte for byte, and not one byte twice.

A `BinlogChain` says which bytes of the server's binary log the sink holds. The first file begins at the image's
place: it is the file's header (magic and format description) followed by what came after that place. Every
later file is whole. The last ends exactly at the mark. So to replay a point is to replay all of `log/`, from
the start to the end, and no position needs to be looked for.

Going on from a chain is only right if the server still writes the same history. A reset log may have the same
names again, and grow past the same offset; so a chain carries a digest of its last bytes, events with times
and numbers of their own, and it continues only where the server has these bytes in this place.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ...model.entries import Entry, Kind
from ...model.errors import SourceError
from ..base import Sink
from .client import MariaDBConnection

PREFIX = b"log"
_MAGIC = b"\xfebin"
_EVENT_HEAD = struct.Struct("<IBIIIH")
"""timestamp, type, server id, length, next position, flags."""
_FORMAT_DESCRIPTION = 15
_IN_USE = 1
_READ = 1 << 20
_TAIL = 4096


@dataclass(frozen=True, slots=True)
class BinlogChain:
    """What the sink holds of the log. file, offset: how far, in the server's own words. first: the file it
    begins in; skipped: how many bytes of that were left out. size: bytes held. tail: digest of the last
    bytes."""

    file: str
    offset: int
    first: str
    skipped: int
    size: int = 0
    tail: str = ""

    def as_record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> BinlogChain:
        return BinlogChain(**record)


def number(file: str) -> int:
    """The number a binary log's name ends in."""
    digits = file.rpartition(".")[2]
    return int(digits) if digits.isdigit() else 0


@dataclass(frozen=True, slots=True)
class BinaryLog:
    """The server's log on disk. directory: where its files are."""

    directory: str
    doing: str

    def begin(self, sink: Sink, file: str, offset: int) -> BinlogChain:
        """A new chain in `log/`, from an image's place on."""
        # Away at once, not at the end of the point: a log begun anew has the same names.
        inside = PREFIX + b"/"
        sink.drop([path for path in sink.entries.path.tolist() if path.startswith(inside)])
        with self._open(file) as fd:
            header = self._header(fd, file)
            if offset < len(header):
                raise SourceError(
                    f"the image's place {file}:{offset} lies before its first event", doing=self.doing
                )
            sink.put(Entry(PREFIX, Kind.DIRECTORY, mode=0o700))
            size = sink.append(_stored(file), 0, [header])
        return BinlogChain(file, offset, first=file, skipped=offset - len(header), size=size)

    def follow(
        self, sink: Sink, chain: BinlogChain, connection: MariaDBConnection, file: str, offset: int
    ) -> BinlogChain:
        """The chain continued up to `offset` in `file`. Raises SourceError when what lies between is not
        there."""
        names = [str(row[0]) for row in connection.rows("SHOW BINARY LOGS")]
        if chain.file not in names or file not in names:
            gone = chain.file if chain.file not in names else file
            raise SourceError(
                f"the binary log {gone} was purged before it could be read",
                doing=self.doing,
                hint="Protect again: a new image will be taken. Let the server keep its logs longer.",
            )
        start = chain.offset
        added = 0
        for name in names[names.index(chain.file) : names.index(file) + 1]:
            with self._open(name) as fd:
                end = offset if name == file else os.fstat(fd).st_size
                added += self._append(sink, fd, chain, name, start, end)
            start = 0
        return replace(chain, file=file, offset=offset, size=chain.size + added, tail=self.tail(file, offset))

    def continues(self, chain: BinlogChain) -> bool:
        """Whether the server's log holds, in its place, what the chain ends with."""
        try:
            return self.tail(chain.file, chain.offset) == chain.tail
        except SourceError:
            return False

    def tail(self, file: str, offset: int) -> str:
        """A digest of the log's last bytes before `offset` in `file`, and of the file's header."""
        with self._open(file) as fd:
            header = self._header(fd, file)
            start = max(len(header), offset - _TAIL)
            last = b"".join(self._bytes(fd, file, start, offset))
        return hashlib.sha256(header + last).hexdigest()

    def _append(self, sink: Sink, fd: int, chain: BinlogChain, name: str, start: int, end: int) -> int:
        if end == start:
            return 0
        if end < start:
            raise SourceError(f"the binary log {name} is shorter than it was", doing=self.doing)
        skipped = chain.skipped if name == chain.first else 0
        if start:
            return sink.append(_stored(name), start - skipped, self._bytes(fd, name, start, end))
        header = self._header(fd, name)

        def whole() -> Iterator[bytes]:
            yield header
            yield from self._bytes(fd, name, len(header), end)

        return sink.append(_stored(name), 0, whole())

    def _header(self, fd: int, name: str) -> bytes:
        """Magic and format description, without the flag that the server keeps in it while it writes."""
        head = os.pread(fd, len(_MAGIC) + _EVENT_HEAD.size, 0)
        if len(head) < len(_MAGIC) + _EVENT_HEAD.size or not head.startswith(_MAGIC):
            raise SourceError(f"{name} is not a binary log", doing=self.doing)
        _, kind, _, length, _, flags = _EVENT_HEAD.unpack_from(head, len(_MAGIC))
        if kind != _FORMAT_DESCRIPTION:
            raise SourceError(f"the binary log {name} does not begin with its format", doing=self.doing)
        header = bytearray(b"".join(self._bytes(fd, name, 0, len(_MAGIC) + length)))
        # The flag is no part of the event's checksum, and the closed file does not have it.
        struct.pack_into("<H", header, len(_MAGIC) + _EVENT_HEAD.size - 2, flags & ~_IN_USE)
        return bytes(header)

    def _bytes(self, fd: int, name: str, start: int, end: int) -> Iterator[bytes]:
        while start < end:
            data = os.pread(fd, min(_READ, end - start), start)
            if not data:
                raise SourceError(f"the binary log {name} ends at {start}, not at {end}", doing=self.doing)
            start += len(data)
            yield data

    @contextmanager
    def _open(self, name: str) -> Iterator[int]:
        path = os.path.join(self.directory, os.path.basename(name))
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SourceError(
                f"the binary log {path}: {(error.strerror or str(error)).lower()}",
                doing=self.doing,
                hint="We must be able to read the server's binary logs where they lie.",
            ) from error
        try:
            yield fd
        finally:
            os.close(fd)


def _stored(name: str) -> bytes:
    return PREFIX + b"/" + os.fsencode(os.path.basename(name))
