"""The image: a base backup through the replication protocol, straight from the server into the sink.

`BASE_BACKUP` (PostgreSQL 15 and newer) answers with one stream of messages: 'n' begins an archive (one per
tablespace, `base.tar` last), 'd' is data of it, 'p' reports progress. A thread reads the messages from the
connection, because libpq reads a copy in one call; the caller parses them as tar and puts each file. The
queue between them is bounded, so a slow sink slows the server down instead of filling memory, and nothing is
staged.

The main data directory goes under `data/`, a tablespace under `tablespaces/<oid>/`. The server's own
`backup_label` is in the archive. Without it there is no image, because a server that starts without it would
skip the log.
"""

from __future__ import annotations

import os
import posixpath
import queue
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, cast

from ...model.entries import Entries, Entry, Kind, Layout
from ...model.errors import SourceError
from ..base import Sink
from .server import PostgreSQLServer, lsn, psycopg2, server_errors

COMMAND = (
    "BASE_BACKUP (LABEL 'undivided', CHECKPOINT 'fast', WAL false, WAIT false, "
    "MANIFEST 'no', TABLESPACE_MAP true, PROGRESS true)"
)
QUEUED = 64
"""Messages between the connection and the parser: 32 KiB to 64 KiB each."""
PIECE = 1 << 20
SMALL = 256 << 10
"""Files up to this size are put in batches."""
BATCH = 8 << 20
LABEL = b"backup_label"
CONTROL = b"global/pg_control"


@dataclass(frozen=True, slots=True)
class BaseBackup:
    """start: the LSN at which the log must begin. size: bytes read."""

    start: int
    timeline: int
    size: int


def take_image(server: PostgreSQLServer, sink: Sink, expected: int) -> BaseBackup:
    """Replaces `data/` and `tablespaces/` with a new image. expected: bytes, for the progress bar.

    Raises SourceError when the backup is not whole.
    """
    sink.replace(b"data")
    sink.replace(b"tablespaces")
    backup = _Backup(server)
    members = _Members(sink, expected)
    try:
        for archive in backup.archives():
            prefix = b"data" if archive.oid is None else b"tablespaces/" + archive.oid
            members.directory(prefix)
            with tarfile.open(fileobj=cast(IO[bytes], archive), mode="r|", bufsize=PIECE) as tar:
                for member in tar:
                    members.place(tar, member, prefix)
            archive.drain()
        members.flush()
    except tarfile.TarError as error:
        cause = f"the base backup is not readable: {error}"
        raise SourceError(cause, doing=server.doing) from None
    finally:
        backup.close()
    if LABEL not in members.kept or CONTROL not in members.kept:
        raise SourceError("the base backup has no backup_label or no pg_control", doing=server.doing)
    start, timeline = read_label(members.kept[LABEL].decode())
    return BaseBackup(start, timeline, members.size)


def read_label(text: str) -> tuple[int, int]:
    """The start of the log (LSN) and the timeline that a backup_label names."""
    fields = dict(row.split(": ", 1) for row in text.splitlines() if ": " in row)
    return lsn(fields["START WAL LOCATION"].split()[0]), int(fields["START TIMELINE"])


@dataclass(slots=True)
class _Members:
    """Puts archive members into the sink, small ones in batches."""

    sink: Sink
    expected: int
    size: int = 0
    kept: dict[bytes, bytes] = field(default_factory=dict)
    _rows: list[Entry] = field(default_factory=list)
    _data: list[bytes] = field(default_factory=list)
    _weight: int = 0

    def directory(self, prefix: bytes) -> None:
        self._add(Entry(prefix, Kind.DIRECTORY, 0o700), b"")

    def place(self, tar: tarfile.TarFile, member: tarfile.TarInfo, prefix: bytes) -> None:
        name = posixpath.normpath(member.name)
        if name.startswith(("/", "..")):
            raise SourceError(f"the base backup has a file outside its directory: {member.name}")
        path = prefix if name == "." else prefix + b"/" + os.fsencode(name)
        kind = Kind.DIRECTORY if member.isdir() else Kind.FILE
        mtime = int(member.mtime) * 1_000_000_000
        entry = Entry(path, kind, member.mode, member.uid, member.gid, mtime, member.size)
        if member.isdir():
            self._add(entry, b"")
        elif member.isreg():
            content = tar.extractfile(member)
            assert content is not None, "a regular member has content"
            if member.size <= SMALL:
                data = content.read()
                self._keep(path, data)
                self._add(entry, data)
            else:
                self.sink.put(entry, self._counted(iter(lambda: content.read(PIECE), b"")), Layout.BLOCKS)

    def _counted(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield piece
            self.size += len(piece)
            self.sink.progress(self.size, self.expected)

    def _keep(self, path: bytes, data: bytes) -> None:
        name = path.removeprefix(b"data/")
        if name in (LABEL, CONTROL):
            self.kept[name] = data

    def _add(self, entry: Entry, data: bytes) -> None:
        self._rows.append(entry)
        self._data.append(data)
        self._weight += len(data) + 512
        if self._weight >= BATCH:
            self.flush()

    def flush(self) -> None:
        rows, data = self._rows, self._data
        if rows:
            pieces = ((i, content, True) for i, content in enumerate(data) if content)
            self.sink.put_many(Entries.of(rows), pieces, Layout.BLOCKS)
            self.size += sum(map(len, data))
            self.sink.progress(self.size, self.expected)
        self._rows, self._data, self._weight = [], [], 0


class _Archive:
    """One archive of the stream, as a file that can be read once. oid: its tablespace; None for the base."""

    def __init__(self, header: bytes, messages: Iterator[bytes]) -> None:
        name = header.split(b"\0")[0]
        self.oid = None if name == b"base.tar" else name.removesuffix(b".tar")
        self.next: bytes | None = None
        """The message after its end: the start of the next archive, or None at the end of the backup."""
        self._messages = messages
        self._buffer = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        parts = []
        while size:
            if not self._buffer and not self._more():
                break
            parts.append(self._buffer[:size])
            self._buffer = self._buffer[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def drain(self) -> None:
        """Reads past the padding, to the next archive."""
        while self._more():
            pass

    def _more(self) -> bool:
        while not self._ended:
            message = next(self._messages, None)
            if message is None or message[:1] == b"n":
                self._ended, self.next = True, message
            elif message[:1] == b"d":
                self._buffer = message[1:]
                return True
        return False


class _Backup:
    """The running backup: a thread that receives, and the queue that it fills."""

    def __init__(self, server: PostgreSQLServer) -> None:
        self._doing = server.doing
        self._connection = server.replication()
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(QUEUED)
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._receive, name="base backup", daemon=True)
        self._thread.start()

    def archives(self) -> Iterator[_Archive]:
        messages = self._messages()
        message = next(messages, None)
        while message is not None:
            if message[:1] != b"n":
                raise SourceError("the base backup does not begin with an archive", doing=self._doing)
            archive = _Archive(message[1:], messages)
            yield archive
            message = archive.next

    def close(self) -> None:
        self._abandoned.set()
        if self._thread.is_alive():
            self._connection.cancel()
        self._thread.join()
        self._connection.close()

    def _messages(self) -> Iterator[bytes]:
        while (message := self._queue.get()) is not None:
            if isinstance(message, BaseException):
                with server_errors(
                    self._doing, "The base backup was interrupted and is not used: protect again."
                ):
                    raise message
            yield message

    def write(self, message: bytes) -> int:
        """Called by psycopg2 with each message of the copy."""
        if not self._hand_over(bytes(message)):
            raise _AbandonedError
        return len(message)

    def _receive(self) -> None:
        library = psycopg2()
        end: BaseException | None = None
        try:
            with self._connection.cursor() as cursor:
                cursor.copy_expert(COMMAND, self)
        except (library.Error, _AbandonedError) as error:
            end = error
        self._hand_over(end)

    def _hand_over(self, item: bytes | BaseException | None) -> bool:
        """Waits for room in the queue. False: the reader has closed the backup."""
        while not self._abandoned.is_set():
            try:
                self._queue.put(item, timeout=0.5)
                return True
            except queue.Full:
                continue
        return False


class _AbandonedError(Exception):
    """The reader has closed the backup."""
