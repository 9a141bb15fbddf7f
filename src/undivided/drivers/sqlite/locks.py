"""SQLite's locks, taken as open file description locks.

SQLite locks byte ranges with fcntl. Its own locks belong to the process, and the kernel drops all of a
process's locks on a file as soon as the process closes *any* descriptor of it: a backup that reads the
database through a descriptor of its own would drop the locks of any SQLite connection in the same process.
Locks of an open file description conflict with SQLite's locks in the same way, but belong to one descriptor.
So a session takes all its locks this way, and keeps no SQLite connection open whose locks could be lost.

A thread waits for a lock in the kernel, because a busy writer leaves gaps of microseconds that polling
misses. A thread whose deadline has passed cannot be stopped; it drops at once a lock that it gets too late.
Source: sqlite.org, "File Locking And Concurrency" and "WAL-mode File Format"; fcntl(2).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import threading
import time
from pathlib import Path

from ...model.errors import SourceError

_log = logging.getLogger(__name__)

# In the database file.
PENDING = (0x40000000, 1)
RESERVED = (0x40000001, 1)
SHARED = (0x40000002, 510)
# In the -shm file.
WAL_WRITE = (120, 1)
WAL_CHECKPOINT = (121, 1)
WAL_LAST_READER = (127, 1)
WAL_ALIVE = (128, 1)

Range = tuple[int, int]
_FLOCK = "hhqqi4x"
_ALL = (0, 0)


class Locks:
    """The locks of one descriptor. Closing the descriptor, or the end of the process, drops them all."""

    def __init__(self, path: Path, flags: int) -> None:
        self.path = path
        self.fd = os.open(path, flags | os.O_CLOEXEC)

    def share(self, place: Range, until: float) -> None:
        """Takes a read lock before `until` (time.monotonic), else raises SourceError."""
        self._take(fcntl.F_RDLCK, place, until)

    def own(self, place: Range, until: float) -> None:
        """Takes a write lock before `until` (time.monotonic), else raises SourceError."""
        self._take(fcntl.F_WRLCK, place, until)

    def share_database(self, until: float) -> None:
        """Takes SQLite's SHARED lock: no writer can change the database file while it is held. As in SQLite,
        the PENDING byte is locked first, so that writers cannot starve us, nor we a writer that waits
        already."""
        self.share(PENDING, until)
        try:
            self.share(SHARED, until)
        finally:
            self.drop(PENDING)

    def drop(self, place: Range = _ALL) -> None:
        _ask(self.fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, place)

    def held_by_others(self, place: Range) -> bool:
        """Whether another process holds any lock there."""
        answer = _ask(self.fd, fcntl.F_OFD_GETLK, fcntl.F_WRLCK, place)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)

    def close(self) -> None:
        """Unlocks explicitly: a late waiter still has a duplicate of the descriptor."""
        with contextlib.suppress(OSError):
            self.drop()
        os.close(self.fd)

    def _take(self, kind: int, place: Range, until: float) -> None:
        try:
            _ask(self.fd, fcntl.F_OFD_SETLK, kind, place)
        except (BlockingIOError, PermissionError):
            _log.debug("%s: bytes %d-%d are locked, waiting", self.path, place[0], sum(place) - 1)
            _Waiter(self.fd, kind, place).wait(until, self.path)


class _Waiter:
    """One blocking request in its own thread, on a duplicate of the descriptor that outlives the original."""

    def __init__(self, fd: int, kind: int, place: Range) -> None:
        self._fd, self._kind, self._place = os.dup(fd), kind, place
        self._settled = threading.Condition()
        self._got = self._late = False
        threading.Thread(target=self._run, name="sqlite-lock", daemon=True).start()

    def wait(self, until: float, path: Path) -> None:
        with self._settled:
            if not self._settled.wait_for(lambda: self._got, max(until - time.monotonic(), 0)):
                self._late = True
                raise SourceError(
                    f"{path} stayed locked by another process until the deadline",
                    hint="An open transaction, or a program in PRAGMA locking_mode=EXCLUSIVE, keeps it.",
                )

    def _run(self) -> None:
        try:
            _ask(self._fd, fcntl.F_OFD_SETLKW, self._kind, self._place)
            with self._settled:
                self._got = True
                if self._late:
                    _ask(self._fd, fcntl.F_OFD_SETLK, fcntl.F_UNLCK, self._place)
                self._settled.notify_all()
        finally:
            os.close(self._fd)


def _ask(fd: int, command: int, kind: int, place: Range) -> bytes:
    request = struct.pack(_FLOCK, kind, os.SEEK_SET, place[0], place[1], 0)
    return fcntl.fcntl(fd, command, request)
