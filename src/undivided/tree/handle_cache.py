"""Files that arrive in several pieces, kept open while they do.

Chunks of a large restore come in the order of the packs that hold them, so many files can be half-written at
once. Only so many stay open; the one that was not written to for longest is closed and opened again when its
next piece comes. What is opened again must be the very file that was made.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from ..host.rooted import RootedDirectory

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_AGAIN = os.O_WRONLY | os.O_NOFOLLOW
_MOST = 200


@dataclass(slots=True)
class _File:
    path: bytes
    fd: int = -1
    users: int = 0
    given: int = 0
    identity: tuple[int, int] | None = None


class HandleCache:
    """Thread-safe. Rows are keys; a row's file is created at its first use."""

    def __init__(self, root: RootedDirectory) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._files: dict[int, _File] = {}
        self._recent: dict[int, None] = {}

    @contextmanager
    def use(self, row: int, path: bytes) -> Iterator[int]:
        """The row's descriptor, which stays open meanwhile."""
        with self._lock:
            file = self._files.get(row)
            if file is None:
                file = self._files[row] = _File(path)
            if file.fd < 0:
                self._make_room()
                file.fd = self._opened(file)
            self._recent.pop(row, None)
            self._recent[row] = None
            file.users += 1
        try:
            yield file.fd
        finally:
            with self._lock:
                file.users -= 1

    def add(self, row: int, count: int) -> int:
        """Counts bytes written; all that the row was given so far. Exactly one caller sees the last byte."""
        with self._lock:
            file = self._files[row]
            file.given += count
            return file.given

    @contextmanager
    def last(self, row: int) -> Iterator[int]:
        """The descriptor for the last time: the file is closed and forgotten after it."""
        with self.use(row, self._files[row].path) as fd:
            yield fd
        with self._lock:
            os.close(self._files.pop(row).fd)
            del self._recent[row]

    def close(self) -> None:
        with self._lock:
            for file in self._files.values():
                if file.fd >= 0:
                    os.close(file.fd)
            self._files.clear()
            self._recent.clear()

    def _opened(self, file: _File) -> int:
        fd = self._root.open(file.path, _AGAIN if file.identity else _CREATE, 0 if file.identity else 0o600)
        found = os.fstat(fd)
        if file.identity not in (None, (found.st_dev, found.st_ino)):
            os.close(fd)
            raise OSError(errno.EEXIST, "replaced while it was written", file.path)
        file.identity = (found.st_dev, found.st_ino)
        return fd

    def _make_room(self) -> None:
        if len(self._recent) < _MOST:
            return
        for row in self._recent:
            file = self._files[row]
            if not file.users:
                os.close(file.fd)
                file.fd = -1
                del self._recent[row]
                return
