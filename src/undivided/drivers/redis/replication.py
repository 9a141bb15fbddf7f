"""A replica that keeps bytes instead of keys: the image and the stream that Redis sends, exactly as sent.

A primary counts every byte of its replication stream. Its replication id and this count name one state of all
its data. PSYNC asks for the stream from a given byte. Either the primary still has that byte in its backlog
(+CONTINUE), or it first sends an image of its data at some count (+FULLRESYNC) and then the stream from
there. Image and stream together are a backup at any command: the image, then the bytes up to the count of
that command. The bytes never have to be parsed, not even to know the selected database: the stream after an
image begins with its own SELECT, and a continued stream keeps the selection.

Acknowledgements keep the link alive and always report zero bytes: a client's WAIT must never count us as a
copy.
Source: redis.io, "Redis replication", and the `redis-cli --rdb` and `--replica` modes.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator

from ...model.errors import SourceError
from .resp import RedisConnection, RefusedError

_HEARTBEAT = 1.0
"""Seconds between acknowledgements; the primary's repl-timeout is a minute."""
_IN_MEMORY = 8 << 20
_PIECE = 1 << 20
_STALL_TIMEOUT = 60.0
"""Seconds without a byte after which a stream that is incomplete counts as failed."""
_IMAGE_TIMEOUT = 600.0
"""Seconds that the primary may take to begin its image; it sends newlines meanwhile."""


class Replica:
    """A replication link. replid, offset: the last byte, as the primary counts, before those that `read`
    gives.

    Raises SourceError when the link breaks, RefusedError when the server does not permit replication.
    """

    def __init__(self, connection: RedisConnection) -> None:
        self.replid = ""
        self.offset = 0
        self._connection = connection
        self._spool = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115
        self._received = 0
        self._arrived = threading.Condition()
        self._failure: SourceError | None = None
        self._closed = False
        self._thread: threading.Thread | None = None

    def begin(self, replid: str | None, offset: int) -> bool:
        """Asks for the stream after `offset` of `replid`; None asks for an image. Returns True when an image
        comes first."""
        self._connection.call("PING")
        self._connection.call("REPLCONF", "capa", "eof", "capa", "psync2")
        self._connection.timeout(_IMAGE_TIMEOUT)
        self._connection.send("PSYNC", replid or "?", offset + 1 if replid else -1)
        words = self._line().decode(errors="replace").split()
        if words[0] == "+CONTINUE" and replid:
            # The id changes when the server was restarted or promoted; the count continues all the same.
            self.replid, self.offset = (words[1] if len(words) > 1 else replid), offset
            return False
        if words[0] == "+FULLRESYNC":
            self.replid, self.offset = words[1], int(words[2])
            return True
        raise RefusedError(" ".join(words).lstrip("-"), doing="replicate")

    def image(self) -> Iterator[bytes]:
        """The RDB file. Must be read to its end before `follow`."""
        head = self._line()
        if head.startswith(b"$EOF:"):
            yield from self._until(head[5:])
        elif head[:1] == b"$" and head[1:].isdigit():
            yield from self._counted(int(head[1:]))
        else:
            raise RefusedError(head.decode(errors="replace").lstrip("-"), doing="receive the image")

    def follow(self) -> None:
        """Starts the thread that receives the stream and sends the acknowledgements."""
        self._connection.timeout(_STALL_TIMEOUT)
        self._thread = threading.Thread(target=self._receive, name="redis-stream", daemon=True)
        self._thread.start()

    def wait(self, offset: int) -> None:
        """Returns once the stream has arrived up to `offset`. Raises SourceError when it breaks or stalls."""
        need, seen = offset - self.offset, -1
        with self._arrived:
            while self._received < need:
                if self._failure:
                    raise self._failure
                if seen == self._received:
                    raise SourceError(
                        f"the replication stream stopped {need - seen} bytes before the mark",
                        hint="Look at the server's log to see why it stopped sending to its replicas.",
                    )
                seen = self._received
                self._arrived.wait_for(lambda: self._failure or self._received >= need, _STALL_TIMEOUT)

    def read(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes after count `first` up to `last`; call `wait(last)` before."""
        place = first - self.offset
        while place < last - self.offset:
            with self._arrived:
                self._spool.seek(place)
                piece = self._spool.read(min(_PIECE, last - self.offset - place))
            place += len(piece)
            yield piece

    def close(self) -> None:
        """Idempotent."""
        self._closed = True
        self._connection.close()
        if self._thread:
            self._thread.join()
        self._spool.close()

    def _line(self) -> bytes:
        """The next line, without the newlines that the primary sends to keep a slow link alive."""
        while not (line := self._connection.line()):
            pass
        return line

    def _counted(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self._connection.some(min(count, _PIECE))
            count -= len(piece)
            yield piece

    def _until(self, end: bytes) -> Iterator[bytes]:
        # The primary sends nothing after the delimiter before our first acknowledgement, so it comes last.
        kept = b""
        while True:
            kept += self._connection.some()
            if kept.endswith(end):
                yield kept[: -len(end)]
                return
            if len(kept) > len(end):
                yield kept[: -len(end)]
                kept = kept[-len(end) :]

    def _receive(self) -> None:
        try:
            due = 0.0
            while not self._closed:
                if time.monotonic() >= due:
                    self._connection.send("REPLCONF", "ACK", 0)
                    due = time.monotonic() + _HEARTBEAT
                if self._connection.ready(_HEARTBEAT):
                    self._keep(self._connection.some())
        except (SourceError, OSError, ValueError) as error:
            # ValueError: `close` has closed the descriptor while select used it.
            with self._arrived:
                broken = (
                    error
                    if isinstance(error, SourceError)
                    else SourceError(f"the replication stream could not be kept: {error}")
                )
                self._failure = broken
                self._arrived.notify_all()

    def _keep(self, piece: bytes) -> None:
        with self._arrived:
            self._spool.seek(self._received)
            self._spool.write(piece)
            self._received += len(piece)
            self._arrived.notify_all()
