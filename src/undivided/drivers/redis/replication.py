"""A replica that keeps bytes instead of keys: the image and the stream that Redis sends, exactly as sent.

A primary counts every byte of its replication stream, and its replication id and that count name one state
of all its data. PSYNC asks for the stream from a byte on. Either the primary still has it in its backlog
(+CONTINUE), or it sends an image of its data at some count first (+FULLRESYNC) and the stream from there.
Written down, the two are a backup to any command: image, then the bytes up to the count of that command.
The bytes never have to be understood, not even which database is selected: the stream after an image begins
with its own SELECT, and what continues it continues that too.

Acknowledgements say "alive" and always zero bytes: a client's WAIT must never count us as a copy.
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
_PATIENCE = 60.0
"""Seconds without a single byte after which a stream that owes us some is given up."""
_IMAGE_PATIENCE = 600.0
"""Seconds the primary may take to begin its image; it keeps the line alive with newlines meanwhile."""


class Replica:
    """A replication link. replid, offset: the last byte before what `read` can give, as the primary counts.

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
        """Asks for the stream after `offset` of `replid`; None asks for an image. True: an image is next."""
        self._connection.call("PING")
        self._connection.call("REPLCONF", "capa", "eof", "capa", "psync2")
        self._connection.timeout(_IMAGE_PATIENCE)
        self._connection.send("PSYNC", replid or "?", offset + 1 if replid else -1)
        words = self._line().decode(errors="replace").split()
        if words[0] == "+CONTINUE" and replid:
            # The id changes when the server was restarted or promoted: the count goes on all the same.
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
        """From here on a thread keeps the stream coming in and the primary content."""
        self._connection.timeout(_PATIENCE)
        self._thread = threading.Thread(target=self._receive, name="redis-stream", daemon=True)
        self._thread.start()

    def wait(self, offset: int) -> None:
        """Returns once everything up to `offset` is here."""
        need, seen = offset - self.offset, -1
        with self._arrived:
            while self._received < need:
                if self._failure:
                    raise self._failure
                if seen == self._received:
                    raise SourceError(
                        f"the replication stream stopped {need - seen} bytes before the mark",
                        hint="See the server's log for why it stopped feeding its replicas.",
                    )
                seen = self._received
                self._arrived.wait_for(lambda: self._failure or self._received >= need, _PATIENCE)

    def read(self, first: int, last: int) -> Iterator[bytes]:
        """The bytes after count `first` up to `last`, which has been waited for."""
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
        """The next line that is not one of the newlines by which the primary keeps a slow link alive."""
        while not (line := self._connection.line()):
            pass
        return line

    def _counted(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self._connection.some(min(count, _PIECE))
            count -= len(piece)
            yield piece

    def _until(self, end: bytes) -> Iterator[bytes]:
        # Nothing follows the delimiter before our first acknowledgement, so it can only be last.
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
            # ValueError: our own close took the descriptor away under select.
            with self._arrived:
                broken = error if isinstance(error, SourceError) else SourceError(f"stream not kept: {error}")
                self._failure = broken
                self._arrived.notify_all()

    def _keep(self, piece: bytes) -> None:
        with self._arrived:
            self._spool.seek(self._received)
            self._spool.write(piece)
            self._received += len(piece)
            self._arrived.notify_all()
