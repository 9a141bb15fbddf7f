"""The log: WAL from the image to the mark, fetched byte by byte by our own receiver.

WAL lies in the timeline as `log/<segment>`, named as PostgreSQL names its files. It grows by appending, so a
point moves only new bytes. The log begins at the boundary of the segment in which the image starts, and ends
exactly at the last mark.

A log is useful only without gaps and from one history. So each point keeps a digest of the last bytes before
its mark, which include the restore point's own record with its unique name. The next point reads those bytes
again, and continues only if they are the same. This detects a server that was itself restored to an earlier
time and has since written other WAL at the same positions.

The receiver uses no slot and confirms nothing as flushed, so it never takes part in synchronous replication.
The slot of slot.py keeps the WAL on the server until it is fetched.
"""

from __future__ import annotations

import hashlib
import select
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...model.entries import Entry, Layout
from ...model.errors import SourceError
from ..base import Sink
from .server import PostgreSQLServer, lsn, lsn_text, psycopg2, server_errors

TAIL = 8192
"""Bytes before the end that identify the history."""
STALL_TIMEOUT = 60.0
"""Seconds without a byte after which receiving fails."""


class WalRemovedError(SourceError):
    """The WAL from here on is no longer on the server, or is of another history: a new image is needed."""


@dataclass(slots=True)
class WalArchive:
    """The extent of a component's log. Positions are LSNs; start is at a segment boundary."""

    start: int
    end: int
    timeline: int
    segment_size: int
    tail: bytes
    """The last bytes before `end`, at most TAIL. Empty: only their digest is known."""
    digest: str = ""
    length: int = 0

    @staticmethod
    def at(start: int, timeline: int, segment_size: int) -> WalArchive:
        """A log that begins with the segment of `start`, still empty."""
        first = start - start % segment_size
        return WalArchive(first, first, timeline, segment_size, b"")

    @staticmethod
    def of(state: Mapping[str, Any]) -> WalArchive:
        """The log as the last point left it."""
        return WalArchive(
            lsn(state["log_start"]),
            lsn(state["log_end"]),
            int(state["timeline"]),
            int(state["segment_size"]),
            b"",
            str(state["tail_digest"]),
            int(state["tail_length"]),
        )

    def state(self) -> dict[str, Any]:
        return {
            "log_start": lsn_text(self.start),
            "log_end": lsn_text(self.end),
            "timeline": self.timeline,
            "segment_size": self.segment_size,
            "tail_digest": self.digest,
            "tail_length": self.length,
        }

    def resume(self, server: PostgreSQLServer) -> None:
        """Reads the tail again and compares it. Raises WalRemovedError."""
        tail = b"".join(receive(server, self.timeline, self.end - self.length, self.end))
        if hashlib.sha256(tail).hexdigest() != self.digest:
            cause = f"the server's log before {lsn_text(self.end)} is not that of the last point"
            raise WalRemovedError(cause, doing=server.doing)
        self.tail = tail

    def grow(self, server: PostgreSQLServer, sink: Sink, target: int) -> int:
        """Receives up to `target` (an LSN not before `end`) into the sink. Returns the bytes moved.

        Raises WalRemovedError, or SourceError when the server stops sending.
        """
        began = self.end
        pieces = _Pieces(receive(server, self.timeline, self.end, target))
        while self.end < target:
            offset = self.end % self.segment_size
            room = min(self.segment_size - offset, target - self.end)
            path = b"log/" + segment_name(self.end, self.timeline, self.segment_size).encode()
            data = self._watched(pieces.take(room))
            if offset == 0:
                # put, not append: a new image may begin in a segment that the old log had too.
                sink.put(Entry(path), data, Layout.BLOCKS)
            else:
                sink.append(path, offset, data)
        self.digest, self.length = hashlib.sha256(self.tail).hexdigest(), len(self.tail)
        return self.end - began

    def _watched(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            self.end += len(piece)
            self.tail = (self.tail + piece)[-TAIL:]
            yield piece


class _Pieces:
    """A stream of bytes, taken in parts of given sizes."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream = stream
        self._rest = b""

    def take(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._rest or next(self._stream)
            self._rest = piece[size:]
            piece = piece[:size]
            size -= len(piece)
            yield piece


def receive(server: PostgreSQLServer, timeline: int, start: int, target: int) -> Iterator[bytes]:
    """The bytes of the log from `start` up to `target`, which the server must have flushed or flush soon.

    Raises WalRemovedError when the server no longer has them, SourceError when they do not arrive.
    """
    if start >= target:
        return
    library = psycopg2()
    walsender = server.replication("undivided receiver")
    try:
        with server_errors(server.doing), walsender.cursor() as cursor:
            physical = library.extras.REPLICATION_PHYSICAL
            position, received = start, time.monotonic()
            try:
                cursor.start_replication(slot_type=physical, start_lsn=start, timeline=timeline)
                while position < target:
                    message = cursor.read_message()
                    if message is None:
                        if time.monotonic() - received > STALL_TIMEOUT:
                            _stalled(server, position, target)
                        select.select([walsender], [], [], 1.0)
                        continue
                    if message.data_start != position:
                        raise SourceError(f"the log has a gap at {lsn_text(position)}", doing=server.doing)
                    received = time.monotonic()
                    piece = message.payload[: target - position]
                    position += len(piece)
                    yield piece
            except library.errors.UndefinedFile:
                cause = f"the server no longer has the log from {lsn_text(position)} on"
                raise WalRemovedError(cause, doing=server.doing) from None
    finally:
        walsender.close()


def _stalled(server: PostgreSQLServer, position: int, target: int) -> None:
    cause = (
        f"the server sent no log for {STALL_TIMEOUT:g} s: it is at {lsn_text(position)} of {lsn_text(target)}"
    )
    raise SourceError(cause, doing=server.doing, hint="Look at the server's log and at pg_stat_replication.")


def segment_name(position: int, timeline: int, segment_size: int) -> str:
    """The name of the WAL file that holds an LSN."""
    number, per = position // segment_size, (1 << 32) // segment_size
    return f"{timeline:08X}{number // per:08X}{number % per:08X}"
