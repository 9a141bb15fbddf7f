"""Files that arrive in several pieces, kept open while they do.

Chunks of a large restore come in the order of the packs that hold them, so many files can be half-written at
once. A limited number stay open: the least recently used one is closed, and opened again when its next piece
comes. A file that is opened again must be the very file that was created.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..host.rooted import RootedDirectory
from .direct import WORTH, open_direct

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_AGAIN = os.O_WRONLY | os.O_NOFOLLOW
_MOST = 100
"""Files, each with up to two descriptors: a few components together stay below the usual limit of 1024."""


@dataclass(slots=True)
class OpenFile:
    """fd: open for writing. direct: the same file past the page cache, -1 where that is not possible."""

    path: bytes
    size: int
    fd: int = -1
    direct: int = -1
    users: int = 0
    given: int = 0
    identity: tuple[int, int] | None = None


class HandleCache:
    """Thread-safe. Rows are keys; a row's file is created at its first use."""

    def __init__(self, root: RootedDirectory) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._files: dict[int, OpenFile] = {}
        self._recent: dict[int, None] = {}

    @contextmanager
    def use(self, row: int, path: bytes, size: int) -> Iterator[OpenFile]:
        """The row's file, which stays open meanwhile. size: that it gets when it is created."""
        with self._lock:
            file = self._files.get(row)
            if file is None:
                file = self._files[row] = OpenFile(path, size)
            if file.fd < 0:
                self._make_room()
                self._open(file)
            self._recent.pop(row, None)
            self._recent[row] = None
            file.users += 1
        try:
            yield file
        finally:
            with self._lock:
                file.users -= 1

    def add(self, row: int, count: int) -> int:
        """Counts written bytes; returns the row's sum. Exactly one caller sees the last byte."""
        with self._lock:
            file = self._files[row]
            file.given += count
            return file.given

    @contextmanager
    def last(self, row: int) -> Iterator[int]:
        """The descriptor for the last time: afterwards the file is closed and dropped from the cache."""
        file = self._files[row]
        with self.use(row, file.path, file.size):
            yield file.fd
        with self._lock:
            _close(self._files.pop(row))
            del self._recent[row]

    def close(self) -> None:
        with self._lock:
            for file in self._files.values():
                _close(file)
            self._files.clear()
            self._recent.clear()

    def _open(self, file: OpenFile) -> None:
        fd = self._root.open(file.path, _AGAIN if file.identity else _CREATE, 0 if file.identity else 0o600)
        try:
            found = os.fstat(fd)
            if file.identity not in (None, (found.st_dev, found.st_ino)):
                raise OSError(errno.EEXIST, "replaced while it was written", file.path)
            if file.identity is None:
                os.ftruncate(fd, file.size)
        except OSError:
            os.close(fd)
            raise
        file.identity = (found.st_dev, found.st_ino)
        file.fd, file.direct = fd, open_direct(fd) if file.size >= WORTH else -1

    def _make_room(self) -> None:
        if len(self._recent) < _MOST:
            return
        for row in self._recent:
            file = self._files[row]
            if not file.users:
                _close(file)
                del self._recent[row]
                return


def _close(file: OpenFile) -> None:
    for fd in (file.fd, file.direct):
        if fd >= 0:
            os.close(fd)
    file.fd = file.direct = -1
