"""The delta of a tree: files that changed since they were read, copied while the writers are frozen.

The copies are put into the sink after the release. Small files are read into memory. Large files are cloned
where the filesystem shares blocks, else copied, which counts against a limit. When the writers are not
frozen, a file that is too large to copy is read after the mark, even if it changes meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ...host.names import shown
from ...host.rooted import RootedDirectory
from ...model.entries import Entries, Entry, Kind, Layout
from ...model.errors import SourceError, error_context
from ...model.streams import Piece, Stream
from ...snapshotters.base import Snapshotter
from ...tree.change_tracker import Changes
from ...tree.read import BUFFER, WHOLE, content, opened
from ..base import Sink

_CLONE_HINTS = {
    errno.ENOSPC: "Free some space on the filesystem of the tree.",
    errno.EDQUOT: "Raise the quota.",
}


@dataclass(slots=True)
class _Kept:
    """One path as it was. data: a small file's bytes. copy: the descriptor of a large file's copy."""

    entry: Entry
    data: bytes | None = None
    copy: int = -1


class Delta:
    """frozen: whether the writers stand still while files are copied. unstable: files that changed all the
    same."""

    def __init__(
        self, root: RootedDirectory, snapshotter: Snapshotter | None, limit: int, *, frozen: bool
    ) -> None:
        self.unstable: list[bytes] = []
        self._root = root
        self._snapshotter = snapshotter
        self._limit = limit
        self._frozen = frozen
        self._copied = 0
        self._kept: dict[bytes, _Kept] = {}
        self._later: dict[bytes, Entry] = {}
        self._buffer = memoryview(bytearray(BUFFER))

    def cost(self, changes: Changes) -> int:
        """The bytes that would have to be copied."""
        sizes = [f.st_size for f in changes.found.values() if stat.S_ISREG(f.st_mode)]
        clones = self._snapshotter is not None and not self._snapshotter.copies
        return sum(size for size in sizes if size <= WHOLE or not clones)

    def take(self, path: bytes) -> os.stat_result | None:
        """Copies the path as it is now, in place of an earlier copy; None when it is gone. Raises SourceError
        when it cannot be read."""
        self.forget([path])
        with opened(self._root, path) as one:
            if one is None:
                return None
            entry = one.entry
            if entry.kind != Kind.FILE:
                self._kept[path] = _Kept(entry)
                return one.found
            large = entry.size > WHOLE
            if large and self._snapshotter and not self._snapshotter.copies:
                self._kept[path] = _Kept(entry, copy=self._clone(one.fd, path))
            elif not self._frozen and self._copied + entry.size > self._limit:
                self._later[path] = entry
                self.unstable.append(path)
                return one.found
            else:
                data = b"".join(map(bytes, self._read(one.fd, entry)))
                self._copied += len(data)
                self._kept[path] = _Kept(_fitting(entry, data), data)
            after = os.fstat(one.fd)
            if (after.st_size, after.st_ctime_ns) != (one.found.st_size, one.found.st_ctime_ns):
                self.unstable.append(path)
            return one.found

    def forget(self, paths: Iterable[bytes]) -> None:
        """Drops the copies of these paths."""
        for path in paths:
            self._later.pop(path, None)
            kept = self._kept.pop(path, None)
            if kept and kept.copy >= 0:
                os.close(kept.copy)

    def put(self, sink: Sink) -> None:
        table = Entries.of([kept.entry for kept in self._kept.values()])
        if len(table):
            sink.put_many(table, self._pieces(), Layout.CONTENT)
        for entry in self._later.values():
            with opened(self._root, entry.path) as one:
                if one is not None:
                    whole = replace(one.entry, extents=())
                    sink.put(whole, self._read(one.fd, whole), Layout.CONTENT)
        self.close()

    def close(self) -> None:
        self.forget(list(self._kept))
        self._later.clear()

    def _clone(self, fd: int, path: bytes) -> int:
        assert self._snapshotter
        place = os.open(b"/proc/self/fd/%d" % self._root.fd, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with error_context(f"clone {shown(path)}", _CLONE_HINTS, raises=SourceError):
                return self._snapshotter.clone(fd, place)
        finally:
            os.close(place)

    def _read(self, fd: int, entry: Entry) -> Iterator[memoryview]:
        """The content in pieces; each piece is valid until the next is read."""
        read = content(fd, entry)
        while got := read(self._buffer):
            yield self._buffer[:got]

    def _pieces(self) -> Iterator[Piece]:
        for row, kept in enumerate(self._kept.values()):
            if kept.data:
                yield row, kept.data, True
            elif kept.copy >= 0:
                yield Stream(row, content(kept.copy, kept.entry))


def _fitting(entry: Entry, data: bytes) -> Entry:
    """The entry with the size that was read: a file may have shrunk while its writers were not frozen."""
    if not entry.extents:
        return replace(entry, size=len(data))
    extents, left = [], len(data)
    for offset, length in entry.extents:
        extents.append((offset, min(length, left)))
        left -= extents[-1][1]
    return replace(entry, extents=tuple(e for e in extents if e[1]) or ((0, 0),))
