"""A database with a rollback journal: held by a SHARED lock, copied before the hold if it is not written.

A writer changes the database file only under an EXCLUSIVE lock, and its commit is the end of its journal
under that lock. While any process holds SHARED, no process gets EXCLUSIVE. So under our SHARED lock the file
holds all commits acknowledged before, none begun after, and no part of one, unless a writer died and left a
hot journal, which opening the database rolls back.

The image is copied beforehand without any lock. It is good if at the mark, under the lock, inode, size, times
and change counter are the same as before the copy; every commit increments the counter. (The counter alone
would miss a large transaction that wrote early and was rolled back while we copied. The times alone would
miss a write in the same tick of the clock, so the copy begins only when that tick has passed.) Otherwise the
file is cloned inside the hold: by reference where the filesystem can, else byte by byte until the deadline. A
large busy database needs WAL mode, and the error asks for it.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import time
from pathlib import Path

from ...model.errors import SourceError
from ...model.point import Position
from ..base import Sink
from . import locks
from .image import (
    State,
    change_counter,
    identity,
    is_wal,
    put_image,
    reader,
    settled,
    size_in,
    still_there,
    tree_path,
)
from .locks import Locks

_log = logging.getLogger(__name__)

_FICLONE = 0x40049409
_STRIDE = 8 << 20
_LOCK_TIMEOUT = 60.0
"""Seconds that `prepare` waits for a writer's EXCLUSIVE lock."""
_QUIET_TRIES = 5

Version = list[int]
"""Differs after every commit: the file's identity and its change counter."""


class JournalCapture:
    """One database from prepare to close. previous: the last point's state; empty at first."""

    def __init__(self, path: Path, previous: State) -> None:
        self._path = path
        self._previous = previous
        self._database: Locks | None = None
        self._copied: Version = []
        self._marked: Version = []
        self._clone = -1
        self._deadline = 0.0
        self._generation: int = previous.get("generation", 0)

    def prepare(self, sink: Sink) -> None:
        with reader(self._path):
            self._database = Locks(self._path, os.O_RDONLY)
        image: list[int] = self._previous.get("image", [])
        known = size_in(sink.entries, tree_path(self._path)) == image[2] if image else False
        before = [*image, self._previous.get("counter", 0)]
        version, quiet = self._version_now()
        if known and version == before and self._previous["mode"] == "rollback":
            self._copied = version
        elif quiet:
            put_image(sink, self._path, self._database.fd, self._database.fd)
            self._copied = version
        else:
            _log.info("%s is being written all the time: it is copied in the pause", self._path)

    def _version_now(self) -> tuple[Version, bool]:
        """The version under the lock, and whether any later write would have other times."""
        assert self._database is not None, "opened before"
        for _attempt in range(_QUIET_TRIES):
            self._database.share_database(time.monotonic() + _LOCK_TIMEOUT)
            version, quiet = self._version(), settled(self._database.fd)
            self._database.drop()
            if quiet:
                break
            time.sleep(0.01)
        return version, quiet

    def hold(self, deadline: float) -> None:
        assert self._database is not None, "prepared before"
        self._deadline = deadline
        self._database.share_database(deadline)

    def mark(self) -> Position:
        assert self._database is not None, "prepared before"
        still_there(self._path, self._database.fd)
        if is_wal(self._database.fd):
            raise SourceError(
                f"the journal mode of {self._path} changed during the capture", hint="Protect again."
            )
        self._refuse_hot_journal()
        self._marked = self._version()
        if self._marked != self._copied:
            self._clone = _clone(self._database.fd, self._path, self._deadline)
        before = self._previous
        continues = before.get("mode") == "rollback" and before["image"][:2] == self._marked[:2]
        if not continues or before["counter"] > self._marked[-1]:
            self._generation += 1
        return Position(f"change {self._marked[-1]}", (self._generation, self._marked[-1]))

    def _refuse_hot_journal(self) -> None:
        """A journal with a header but without a living writer holds pages that must be written back first."""
        assert self._database is not None, "prepared before"
        try:
            with open(f"{self._path}-journal", "rb") as journal:
                hot = any(journal.read(8))
        except FileNotFoundError:
            return
        if hot and not self._database.held_by_others(locks.RESERVED):
            raise SourceError(
                f"a writer of {self._path} died and left a hot journal",
                hint="Protect again: opening the database rolls it back.",
            )

    def release(self) -> None:
        if self._database is not None:
            self._database.drop()

    def finish(self, sink: Sink) -> State:
        assert self._database is not None, "prepared before"
        if self._clone >= 0:
            put_image(sink, self._path, self._clone, self._database.fd)
        return {
            "mode": "rollback",
            "image": self._marked[:-1],
            "counter": self._marked[-1],
            "generation": self._generation,
            "frames": 0,
            "salt": "",
        }

    def close(self) -> None:
        if self._clone >= 0:
            os.close(self._clone)
            self._clone = -1
        if self._database is not None:
            self._database.close()
            self._database = None

    def _version(self) -> Version:
        assert self._database is not None, "opened before"
        return [*identity(self._database.fd), change_counter(self._database.fd)]


def _clone(fd: int, path: Path, deadline: float) -> int:
    """A descriptor of a nameless copy of the file. Raises SourceError at the deadline."""
    target = os.open(path.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.ioctl(target, _FICLONE, fd)
        return target
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV):
            os.close(target)
            raise
    try:
        _copy(fd, target, path, deadline)
    except BaseException:
        os.close(target)
        raise
    return target


def _copy(fd: int, target: int, path: Path, deadline: float) -> None:
    size, place = os.fstat(fd).st_size, 0
    while place < size:
        if time.monotonic() > deadline:
            raise SourceError(
                f"{path} is written all the time, and its {size >> 20} MiB cannot be copied within the pause",
                hint="Set PRAGMA journal_mode=WAL, allow a longer pause, or use a filesystem with reflinks.",
            )
        place += os.sendfile(target, fd, place, min(_STRIDE, size - place))
