"""A database file as bytes: whether it is a database, whether it changed, and how it is stored."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...model.entries import Entries, Entry, Kind, Layout
from ...model.errors import SourceError
from ..base import Sink

MAGIC = b"SQLite format 3\0"
PIECE = 1 << 20
_TICK = 0.02
"""Seconds after which the kernel's file times have certainly advanced: two of its slowest ticks."""
_BUSY_TIMEOUT = 30.0
"""Seconds that opening a database waits for a lock."""


@contextlib.contextmanager
def reader(path: Path) -> Iterator[str]:
    """Opens a read transaction and yields the journal mode. Opening it has rolled back a hot journal,
    recovered the WAL, and shown that the file is a database at all. Raises SourceError."""
    try:
        with contextlib.closing(_connect(path)) as connection:
            connection.execute("BEGIN")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            yield str(mode).lower()
    except sqlite3.Error as error:
        raise SourceError(str(error).lower(), doing=f"open the database {path}", hint=_hint(error)) from error


def _connect(path: Path) -> sqlite3.Connection:
    uri = path.as_uri() + "?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)


def _hint(error: sqlite3.Error) -> str:
    text = str(error)
    if "not a database" in text:
        return "The file is encrypted, damaged, or not an SQLite database."
    if "locked" in text:
        return "A long transaction, or a program with PRAGMA locking_mode=EXCLUSIVE, keeps it locked."
    return "Check that it exists, and that this user may read and write it and its directory."


def identity(fd: int) -> list[int]:
    """Values of which at least one changes with every write: [device, inode, size, mtime ns, ctime ns]."""
    found = os.fstat(fd)
    return [found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def settled(fd: int) -> bool:
    """Whether any further write would change the file's times."""
    return not 0 <= time.time_ns() - os.fstat(fd).st_ctime_ns <= _TICK * 1e9


def settle(fd: int) -> None:
    """Waits until `settled`: milliseconds for a file that no process writes to."""
    while not settled(fd):
        time.sleep(_TICK / 4)


def change_counter(fd: int) -> int:
    """The count of transactions in the file's header; 0 for an empty file."""
    raw = os.pread(fd, 4, 24)
    return int(struct.unpack(">I", raw)[0]) if len(raw) == 4 else 0


def is_wal(fd: int) -> bool:
    """Whether the header marks the database as one in WAL mode."""
    return os.pread(fd, 2, 18) == b"\2\2"


def still_there(path: Path, fd: int) -> None:
    """Raises SourceError when the file at `path` is not the one that is open."""
    try:
        found = os.stat(path)
    except OSError as error:
        raise SourceError(
            f"the database {path} has vanished", hint="Protect again when it is back."
        ) from error
    if not os.path.samestat(found, os.fstat(fd)):
        raise SourceError(
            f"the database {path} was replaced by another file while it was captured", hint="Protect again."
        )


def size_in(entries: Entries, path: bytes) -> int:
    """The size of a file in the tree; -1 when there is none."""
    paths = entries.path.tolist()
    return int(entries.size[paths.index(path)]) if path in paths else -1


def put_image(sink: Sink, path: Path, fd: int, live: int) -> int:
    """Stores a new image of the database at `path`, read from `fd`. live: the open database, for its
    attributes. Returns the bytes read."""
    above = os.stat(path.parent)
    sink.replace(b"data")
    sink.put(Entry(b"data", Kind.DIRECTORY, above.st_mode & 0o7777, above.st_uid, above.st_gid))
    entry = file_entry(tree_path(path), os.fstat(live))
    return sink.put(entry, pieces(fd, 0, None, sink), Layout.BLOCKS)


def tree_path(path: Path) -> bytes:
    """The path of the database in the component's tree."""
    return b"data/" + os.fsencode(path.name)


def file_entry(path: bytes, found: os.stat_result) -> Entry:
    mode = found.st_mode & 0o7777
    return Entry(path, Kind.FILE, mode, found.st_uid, found.st_gid, found.st_mtime_ns)


def pieces(fd: int, start: int, end: int | None, sink: Sink | None = None) -> Iterator[bytes]:
    """The bytes of a file from `start` to `end`, which must exist; None: to the end of the file."""
    place = start
    while end is None or place < end:
        piece = os.pread(fd, PIECE if end is None else min(PIECE, end - place), place)
        if not piece:
            if end is None:
                return
            raise SourceError(f"the file ended at byte {place} of {end}", hint="Protect again.")
        place += len(piece)
        if sink is not None:
            sink.progress(place)
        yield piece


State = dict[str, Any]
"""The state that this driver keeps with a point."""
