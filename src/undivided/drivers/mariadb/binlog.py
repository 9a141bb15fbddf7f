"""The binary log as it grows: from the image's position to the mark, byte for byte, and no byte twice.

A `BinlogChain` records which bytes of the server's binary log the sink holds. The first file begins at the
image's position: it is the file's header (magic and format description) followed by the bytes after that
position. Every later file is whole. The last file ends exactly at the mark. So a point is replayed by
replaying all of `log/` from start to end; no position has to be found.

A chain may be continued only if the server still writes the same history. A reset log may use the same names
again, and grow past the same offset. So a chain carries a digest of its last bytes, which are events with
times and numbers of their own, and continues only where the server has these bytes at this position.
"""

from __future__ import annotations

import hashlib
import logging
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ...model.entries import Entry, Kind
from ...model.errors import SourceError, error_context
from ..base import Sink
from .client import MariaDBConnection

_log = logging.getLogger(__name__)

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
    """The part of the log that the sink holds. file, offset: its end, as the server names it. first: the file
    in which it begins; skipped: the bytes of that file that are left out. size: bytes held. tail: digest of
    the last bytes."""

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
    """The number at the end of a binary log's name."""
    digits = file.rpartition(".")[2]
    return int(digits) if digits.isdigit() else 0


@dataclass(frozen=True, slots=True)
class BinaryLog:
    """The server's log on disk. directory: of its files."""

    directory: str
    doing: str

    def begin(self, sink: Sink, file: str, offset: int) -> BinlogChain:
        """Starts a new chain in `log/` at an image's position."""
        # Dropped at once, not at the end of the point: a reset log uses the same names again.
        inside = PREFIX + b"/"
        sink.drop([path for path in sink.entries.path.tolist() if path.startswith(inside)])
        with self._open(file) as fd:
            header = self._header(fd, file)
            if offset < len(header):
                raise SourceError(
                    f"the image's position {file}:{offset} lies before the first event of the log",
                    doing=self.doing,
                )
            sink.put(Entry(PREFIX, Kind.DIRECTORY, mode=0o700))
            size = sink.append(_stored(file), 0, [header])
        return BinlogChain(file, offset, first=file, skipped=offset - len(header), size=size)

    def follow(
        self, sink: Sink, chain: BinlogChain, connection: MariaDBConnection, file: str, offset: int
    ) -> BinlogChain:
        """The chain, continued up to `offset` in `file`. Raises SourceError when a log file in between is
        missing."""
        names = [str(row[0]) for row in connection.rows("SHOW BINARY LOGS")]
        if chain.file not in names or file not in names:
            purged = chain.file if chain.file not in names else file
            raise SourceError(
                f"the binary log {purged} was purged before it could be read",
                doing=self.doing,
                hint="Protect again: a new image will be taken. Make the server keep its logs longer.",
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
        """Whether the server's log has the last bytes of the chain at the same position."""
        try:
            return self.tail(chain.file, chain.offset) == chain.tail
        except SourceError as error:
            _log.info("the binary log cannot be continued: %s", error.cause)
            return False

    def tail(self, file: str, offset: int) -> str:
        """A digest of the last bytes before `offset` in `file`, and of the file's header."""
        with self._open(file) as fd:
            header = self._header(fd, file)
            start = max(len(header), offset - _TAIL)
            last = b"".join(self._bytes(fd, file, start, offset))
        return hashlib.sha256(header + last).hexdigest()

    def _append(self, sink: Sink, fd: int, chain: BinlogChain, name: str, start: int, end: int) -> int:
        if end == start:
            return 0
        if end < start:
            raise SourceError(f"the binary log {name} has become shorter", doing=self.doing)
        skipped = chain.skipped if name == chain.first else 0
        if start:
            return sink.append(_stored(name), start - skipped, self._bytes(fd, name, start, end))
        header = self._header(fd, name)

        def whole() -> Iterator[bytes]:
            yield header
            yield from self._bytes(fd, name, len(header), end)

        return sink.append(_stored(name), 0, whole())

    def _header(self, fd: int, name: str) -> bytes:
        """Magic and format description, without the flag that the server sets while it writes the file."""
        head = os.pread(fd, len(_MAGIC) + _EVENT_HEAD.size, 0)
        if len(head) < len(_MAGIC) + _EVENT_HEAD.size or not head.startswith(_MAGIC):
            raise SourceError(f"{name} is not a binary log", doing=self.doing)
        _, kind, _, length, _, flags = _EVENT_HEAD.unpack_from(head, len(_MAGIC))
        if kind != _FORMAT_DESCRIPTION:
            raise SourceError(
                f"the binary log {name} does not begin with a format description", doing=self.doing
            )
        header = bytearray(b"".join(self._bytes(fd, name, 0, len(_MAGIC) + length)))
        # The flag is not part of the event's checksum, and a closed file does not have it.
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
        with error_context(
            self.doing, "This user must be able to read the server's logs.", raises=SourceError
        ):
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)


def _stored(name: str) -> bytes:
    return PREFIX + b"/" + os.fsencode(os.path.basename(name))
