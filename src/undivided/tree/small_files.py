"""Small files of a tree, read in batches on whatever threads have room for them.

A thread opens a few files and announces them to the kernel before it reads the first: a disk that has to be
waited for then works on all of them at once. A first backup of 50,000 files that nobody had read before took
7.1 s when each was read as it was opened, and takes 4.4 s so.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import NamedTuple

from ..host.rooted import RootedDirectory
from ..model.streams import Batch
from .opener import GONE, FileOpener, Neighbours, unreadable

_AHEAD = 32  # files a thread has open at once: a few threads stay far below any limit


class Looks(NamedTuple):
    """What the walk saw, per row. Lists, because a number taken from a column costs as much as a system
    call."""

    path: list[bytes]
    size: list[int]
    ctime_ns: list[int]
    mtime_ns: list[int]
    ino: list[int]

    def like(self, row: int, now: os.stat_result) -> bool:
        """Whether the row's file looks as it did."""
        return (
            now.st_ctime_ns == self.ctime_ns[row]
            and now.st_ino == self.ino[row]
            and now.st_size == self.size[row]
            and now.st_mtime_ns == self.mtime_ns[row]
        )


class SmallFiles:
    """Makes batches of rows. Thread-safe: their rows are told to `vanished` and `unsettled` by whoever reads
    them."""

    def __init__(
        self, root: RootedDirectory, looks: Looks, vanished: list[int], unsettled: list[int]
    ) -> None:
        self._root, self._looks = root, looks
        self._vanished, self._unsettled = vanished, unsettled
        self._opener = FileOpener(root)

    def batch(self, rows: list[int], room: int) -> Batch:
        """room: the bytes of all rows."""
        return Batch(rows, room, lambda view: self._read(rows, view))

    def _read(self, rows: list[int], view: memoryview) -> list[int]:
        lengths: list[int] = []
        with Neighbours(self._root) as place:
            for first in range(0, len(rows), _AHEAD):
                some = self._read_some(rows[first : first + _AHEAD], view, place)
                lengths += some
                view = view[sum(some) :]
        return lengths

    def _read_some(self, rows: list[int], view: memoryview, place: Neighbours) -> list[int]:
        files: list[int] = []
        lengths = []
        try:
            for row in rows:
                files.append(self._announced(row, place))
            for row, fd in zip(rows, files, strict=True):
                length = self._read_one(row, fd, view) if fd >= 0 else 0
                lengths.append(length)
                view = view[length:]
        finally:
            for fd in files:
                if fd >= 0:
                    os.close(fd)
        return lengths

    def _announced(self, row: int, place: Neighbours) -> int:
        """The file, open; -1 when it is gone."""
        path = self._looks.path[row]
        try:
            fd = self._opener.open_in(*place.of(path))
        except OSError as error:
            if error.errno not in GONE:
                raise unreadable(path, error) from error
            self._vanished.append(row)
            return -1
        with suppress(OSError):  # it is no file any more, and reading it will tell
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
        return fd

    def _read_one(self, row: int, fd: int, view: memoryview) -> int:
        size = self._looks.size[row]
        try:
            length = os.readv(fd, [view[:size]])
            now = os.fstat(fd)
        except OSError as error:
            raise unreadable(self._looks.path[row], error) from error
        if length < size or not self._looks.like(row, now):
            self._unsettled.append(row)
        return length
